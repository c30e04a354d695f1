"""Rows that exist are taken over from journals and parts; only what is missing is evaluated."""

import json
import re
import subprocess
import sys

import polars as pl
import pytest

from kbit.spec.quant import QuantSpec
from kbit.store.parts import DamagedPartError, read_part
from kbit.store.paths import journal_folder, part_path


def test_every_cell_gets_its_row_from_one_worker(job):
    outcome = job.run()
    assert (outcome.cells, outcome.evaluated, outcome.statuses) == (8, 8, {"ok": 8})
    assert job.statuses() == dict.fromkeys(job.NAMES, "ok")
    assert len(job.workers) == 1
    frame = read_part(job.part)
    assert frame.filter(spec="none16").select("block_size", "solver", "outlier_rule").rows() == [(None, None, None)] * 2
    assert json.loads(frame.filter(spec="int3-b64")["member_versions"][0]) == {
        "data_type": 1,
        "scale_format": 1,
        "solver": 1,
    }


def test_finished_cells_are_taken_over_without_a_worker(job):
    job.run()
    before = read_part(job.part)
    job.part.unlink()
    outcome = job.run(fault="no worker was to be started")
    assert outcome.evaluated == 0
    assert read_part(job.part).equals(before, null_equal=True)


def test_rows_come_from_a_part_where_the_journal_is_gone(job):
    job.run()
    before = read_part(job.part)
    job.forget_journals()
    assert job.run(fault="no worker was to be started").evaluated == 0
    assert read_part(job.part).equals(before, null_equal=True)


def test_a_damaged_part_comes_back_from_the_journal(job):
    job.run()
    before = read_part(job.part)
    job.part.write_bytes(job.part.read_bytes()[:500])
    with pytest.raises(DamagedPartError) as caught:
        read_part(job.part)
    (remedy,) = re.findall(r"`(rm .*?)`", str(caught.value))
    subprocess.run(remedy, shell=True, check=True)
    assert job.run(fault="no worker was to be started").evaluated == 0
    assert read_part(job.part).equals(before, null_equal=True)


def test_a_damaged_part_among_those_to_take_over_from_is_named_and_passed_over(job, capsys):
    job.run()
    job.forget_journals()
    damaged = job.part.with_name("all.000000000000.parquet")
    damaged.write_bytes(job.part.read_bytes()[:500])
    assert job.run(fault="no worker was to be started").evaluated == 0
    assert f"passed over: part {damaged} is damaged" in capsys.readouterr().err


def test_a_corrupted_journal_line_costs_that_cell_alone(job):
    job.run()
    job.part.unlink()
    (journal,) = journal_folder(job.MODEL).iterdir()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:5], lines[5].replace(b"acc", b"abc"), *lines[6:]]))
    outcome = job.run()
    assert (outcome.evaluated, outcome.bad_lines) == (1, 1)
    assert sorted(job.row_counts.values()) == [1] * 8  # the damaged row counts no more


def test_a_bigger_shard_evaluates_the_new_cells_alone(job):
    job.run()
    more = job.shard_json((*job.SPECS, QuantSpec(data_type="int", bits=8, block_size=64)), key="ba9876543210")
    job.write_shard(more)
    job.part = part_path(job.MODEL, "all", "ba9876543210")
    assert job.run().evaluated == 2
    assert len(read_part(job.part)) == 10


def test_a_failed_row_is_not_taken_over_from_a_part(job):
    job.run(fail=["int3-b64/a"])
    job.forget_journals()
    assert job.run().evaluated == 1


def test_neither_the_parent_nor_a_rebuilt_part_needs_torch(job):
    job.run()
    job.part.unlink()
    program = (
        "import sys; from pathlib import Path; from kbit.evaluation.run_shard import run_shard\n"
        "print(run_shard(Path(sys.argv[1]), Path(sys.argv[2]), 1))\n"
        "print({'torch', 'transformers', 'lm_eval'} & set(sys.modules))"
    )
    arguments = [sys.executable, "-c", program, str(job.file), str(job.part)]
    result = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert result.stdout.splitlines() == ["8 cells (8 ok): 0 evaluated, 8 taken over", "set()"]
    assert pl.read_parquet(job.part).height == 8
