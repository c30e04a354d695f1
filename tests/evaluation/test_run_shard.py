"""A shard's job on good and bad days, with a worker that does what a test tells it to.

What the real worker does is tested through whole studies in tests/workflow/test_interruptions.py.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from kbit.evaluation.run_shard import run_shard
from kbit.spec.cell import cell_id, spec_identity
from kbit.spec.errors import UserError
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.store.journal import JournalWriter, read_journals
from kbit.store.parts import DamagedPartError, read_part
from kbit.store.paths import journal_folder, locator_path, part_path, requests_path, shard_path

WORKER = Path(__file__).with_name("scripted_worker.py")
MODEL, KEY = "local-0123456789abcdef", "0123456789ab"
SPECS = (CONTROL, *(QuantSpec(data_type="int", bits=bits, block_size=64) for bits in (3, 4, 5)))
NAMES = [f"{spec.slug}/{task}" for spec in SPECS for task in "ab"]
PASSING = ("host", "git_commit", "seconds", "quantize_seconds", "peak_memory_bytes", "started_at")


class Job(NamedTuple):
    """A shard of eight cells in a scratch folder."""

    file: Path
    part: Path
    starts: Path

    def run(self, **script: object):
        script = {"count": str(self.starts), **script}
        return run_shard(self.file, self.part, threads=1, device="cpu", worker_command=command(script))

    @property
    def workers(self) -> list[dict]:
        """The jobs given to workers so far."""
        return [json.loads(line) for line in self.starts.read_text().splitlines()] if self.starts.exists() else []

    @property
    def journals(self):
        return read_journals(journal_folder(MODEL))

    def statuses(self) -> dict[str, str]:
        frame = read_part(self.part)
        names = [f"{spec}/{task}" for spec, task in zip(frame["spec"], frame["task"], strict=True)]
        return dict(zip(names, frame["status"], strict=True))


def command(script: dict) -> tuple[str, ...]:
    return (sys.executable, str(WORKER), json.dumps(script))


def shard_json(specs=SPECS, **changes: object) -> dict:
    cells = [
        {
            "cell_id": cell_id(MODEL, spec_identity(spec), f"identity-{task}", "float32"),
            "spec": spec.model_dump(mode="json", exclude_defaults=True),
            "task": task,
            "task_identity": f"identity-{task}",
            "item_limit": None,
            "requests": KEY,
        }
        for spec in specs
        for task in "ab"
    ]
    shard = {"shard_version": 1, "model_id": MODEL, "model": MODEL, "slice": "all", "key": KEY, "dtype": "float32"}
    return {**shard, "token_budget": 64, "cells": cells, **changes}


def write_shard(content: dict) -> Path:
    path = shard_path(MODEL, "all", KEY)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def job(tmp_path, monkeypatch) -> Job:
    monkeypatch.chdir(tmp_path)
    for path in (locator_path(MODEL), requests_path("a", KEY), requests_path("b", KEY)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # the scripted worker needs nothing from them
    return Job(write_shard(shard_json()), part_path(MODEL, "all", KEY), tmp_path / "starts.jsonl")


def test_every_cell_gets_its_row_from_one_worker(job):
    outcome = job.run()
    assert (outcome.cells, outcome.evaluated, outcome.statuses) == (8, 8, {"ok": 8})
    assert job.statuses() == dict.fromkeys(NAMES, "ok")
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
    for path in journal_folder(MODEL).iterdir():
        path.unlink()
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
    for path in journal_folder(MODEL).iterdir():
        path.unlink()
    damaged = job.part.with_name("all.000000000000.parquet")
    damaged.write_bytes(job.part.read_bytes()[:500])
    assert job.run(fault="no worker was to be started").evaluated == 0
    assert f"passed over: part {damaged} is damaged" in capsys.readouterr().err


def test_a_corrupted_journal_line_costs_that_cell_alone(job):
    job.run()
    job.part.unlink()
    (journal,) = journal_folder(MODEL).iterdir()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:5], lines[5].replace(b"acc", b"abc"), *lines[6:]]))
    outcome = job.run()
    assert (outcome.evaluated, outcome.bad_lines) == (1, 1)
    assert sorted(job.journals.row_counts.values()) == [1] * 8  # the damaged row counts no more


def test_a_bigger_shard_evaluates_the_new_cells_alone(job):
    job.run()
    more = shard_json((*SPECS, QuantSpec(data_type="int", bits=8, block_size=64)), key="ba9876543210")
    other = job._replace(file=write_shard(more), part=part_path(MODEL, "all", "ba9876543210"))
    assert other.run().evaluated == 2
    assert len(read_part(other.part)) == 10


def test_a_worker_that_dies_is_replaced_and_its_cell_goes_last(job):
    outcome = job.run(kill=["int3-b64/a"])
    assert outcome.statuses == {"ok": 7, "crashed": 1}
    assert job.statuses()["int3-b64/a"] == "crashed"
    first, second = job.workers
    assert first["cells"][2] == second["cells"][-1]
    assert second["cells"][-2:] == [cell["cell_id"] for cell in reversed(shard_json()["cells"][2:4])]
    (row,) = read_part(job.part).filter(status="crashed").to_dicts()
    assert "signal 9" in row["error"]
    assert (row["metrics"], row["samples"], row["body_bits"]) == (None, None, None)
    assert row["torch_version"]


def test_a_crashed_cell_is_final(job):
    job.run(kill=["int3-b64/a"])
    job.part.unlink()
    assert job.run(fault="no worker was to be started").evaluated == 0


def test_several_crashing_cells_cost_only_themselves(job):
    bad = ["int3-b64/a", "int3-b64/b", "int5-b64/b"]
    outcome = job.run(**{"raise": bad})
    assert outcome.statuses == {"ok": 5, "crashed": 3}
    errors = read_part(job.part).filter(status="crashed")["error"].to_list()
    assert sorted(error.rsplit(" at ")[-1] for error in errors) == bad
    assert all("ZeroDivisionError" in error for error in errors)
    assert set(job.journals.row_counts.values()) == {1}


def test_workers_that_die_wherever_they_begin_are_the_nodes_fault(job):
    with pytest.raises(UserError, match="workers died at 3 different specs and finished no cell"):
        job.run(kill=NAMES)
    assert not job.part.exists()
    assert not job.journals.rows


def test_a_worker_that_dies_before_its_first_cell_fails_the_job(job):
    broken = (sys.executable, "-c", "import sys; sys.exit('no such library')")
    with pytest.raises(UserError, match="ended with exit code 1 before its first cell: no such library"):
        run_shard(job.file, job.part, threads=1, worker_command=broken)
    assert not job.part.exists()


def test_a_fault_of_the_model_fails_the_job_and_keeps_what_is_good(job, capfd):
    with pytest.raises(UserError, match=r"^weight of int4-b64/a is broken$"):
        job.run(fault_at=["int4-b64/a"])
    assert not job.part.exists()
    assert len(job.journals.rows) == 4
    assert "kbit:" not in capfd.readouterr().err  # the one line is the caller's to print
    assert job.run().evaluated == 4


def test_failed_cells_are_recorded_and_tried_again(job):
    outcome = job.run(fail=["int3-b64/a"])
    assert outcome.statuses == {"ok": 7, "failed": 1}
    assert read_part(job.part).filter(status="failed")["error"].to_list() == ["OSError: no answer"]
    assert len(job.workers) == 1
    outcome = job.run()
    assert (outcome.evaluated, outcome.statuses) == (1, {"ok": 8})


def test_a_failed_row_is_not_taken_over_from_a_part(job):
    job.run(fail=["int3-b64/a"])
    for path in journal_folder(MODEL).iterdir():
        path.unlink()
    assert job.run().evaluated == 1


def test_a_lost_device_is_no_crash(job):
    outcome = job.run(lose=["int3-b64/a", "int5-b64/a"])
    assert outcome.statuses == {"ok": 6, "failed": 2}
    # A node whose GPU is gone must not go on with its CPU.
    assert [worker["device"] for worker in job.workers] == ["cpu", "cuda", "cuda"]


def test_a_cell_open_when_an_earlier_job_ended_goes_last(job):
    cells = [cell["cell_id"] for cell in shard_json()["cells"]]
    with JournalWriter(journal_folder(MODEL) / "all.earlier.jsonl") as journal:
        journal.start(cells[2], {})
    job.run()
    (worker,) = job.workers
    assert worker["cells"] == [*cells[:2], *cells[4:], cells[3], cells[2]]


def test_two_jobs_on_one_shard_tear_nothing(job):
    program = (
        "import sys; from pathlib import Path; from kbit.evaluation.run_shard import run_shard\n"
        "run_shard(Path(sys.argv[1]), Path(sys.argv[2]), 1, 'cpu', tuple(sys.argv[3:]))"
    )
    arguments = [sys.executable, "-c", program, str(job.file), str(job.part), *command({})]
    runners = [subprocess.Popen(arguments, stderr=subprocess.PIPE) for _ in range(3)]
    for runner in runners:
        _, error = runner.communicate(timeout=120)
        assert runner.returncode == 0, error
    assert not job.journals.bad_lines
    assert job.statuses() == dict.fromkeys(NAMES, "ok")
    assert [path.name for path in job.part.parent.iterdir()] == [job.part.name]
    rebuilt = read_part(job.part).drop(PASSING)
    job.part.unlink()
    job.run(fault="no worker was to be started")
    assert read_part(job.part).drop(PASSING).equals(rebuilt, null_equal=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_ends_with_its_parent(number, job):
    program = (
        "import sys; from pathlib import Path; from kbit.evaluation.run_shard import run_shard\n"
        "run_shard(Path(sys.argv[1]), Path(sys.argv[2]), 1, 'cpu', tuple(sys.argv[3:]))"
    )
    script = command({"count": str(job.starts), "hang": ["int4-b64/a"]})
    parent = subprocess.Popen([sys.executable, "-c", program, str(job.file), str(job.part), *script])
    wait_until(lambda: len(job.journals.open_starts) == 1 and len(job.journals.rows) == 4)
    parent.send_signal(number)
    assert parent.wait(30) == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    wait_until(lambda: not is_alive(job.workers[0]["pid"]))
    assert not job.part.exists()
    assert job.run().evaluated == 4


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_unbuilt_options_are_refused_before_anything_is_evaluated(job):
    centered = QuantSpec(data_type="int", bits=4, block_size=64, centered="block")
    write_shard(shard_json((CONTROL, centered)))
    with pytest.raises(UserError, match="centered=block can be planned but not yet evaluated"):
        job.run()
    assert job.workers == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "is of shard version None, this release reads 1"),
        (json.dumps(shard_json(shard_version=2)), "is of shard version 2"),
        (
            json.dumps({key: value for key, value in shard_json().items() if key != "dtype"}),
            "lacks or misstates 'dtype'",
        ),
        (json.dumps(shard_json(dtype="float16")), "was planned by another release"),
        (json.dumps(shard_json()).replace('"int"', '"imaginary"'), "data_type 'imaginary' is not one of"),
    ],
)
def test_an_unusable_shard_file_is_named_with_its_remedy(content, message, job):
    job.file.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        job.run()
    assert f"`rm {job.file}`" in str(caught.value)


@pytest.mark.parametrize("missing", [shard_path, locator_path, requests_path], ids=lambda path: path.__name__)
def test_a_missing_input_is_named_before_a_worker_starts(missing, job):
    path = {shard_path: job.file, locator_path: locator_path(MODEL), requests_path: requests_path("b", KEY)}[missing]
    path.unlink()
    with pytest.raises(UserError, match=f"no (shard )?file {path}"):
        job.run()
    assert job.workers == []


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
