"""`kbit status`: every cell of the plan is counted once, by what lies there."""

import json
import os
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kbit.cli import main
from kbit.cli.status import duration
from kbit.store.head import hold_results
from kbit.store.lines import DEATH, encode_line
from kbit.store.paths import shard_log_path
from kbit.upkeep import tracks
from kbit.upkeep.slurm import Job, Queue
from kbit.upkeep.status import COUNTED, study_status
from kbit.upkeep.verify import verify_results

STATES = ("done", "running", "queued", "failed", "to_do")


def counts(folder, model: int = 0) -> tuple[int, ...]:
    status = study_status(folder.plan())
    for each in [*status.models, status.total()]:
        assert sum(getattr(each, state) for state in STATES) == each.cells
    return tuple(getattr(status.models[model], state) for state in STATES)


@pytest.fixture
def started(folder):
    folder.write_study()
    folder.plan()
    return folder


def test_nothing_there_is_all_to_do(started):
    assert counts(started) == (0, 0, 0, 0, 6)
    assert study_status(started.plan()).total().cells == 12


def test_a_finished_study_is_done(finished):
    assert counts(finished) == (6, 0, 0, 0, 0)
    assert study_status(finished.plan()).total().statuses == {"ok": 12}


def test_failed_rows_of_a_part_count_as_failed_with_their_errors(started):
    shard = started.plan().shards[0]
    started.finish(shard, ["ok", "failed", "collapsed", "crashed", "ok", "ok"])
    assert counts(started) == (5, 0, 0, 1, 0)
    model = study_status(started.plan()).models[0]
    assert model.statuses == {"ok": 3, "collapsed": 1, "crashed": 1}
    assert [(failure.cell_id, failure.error) for failure in model.failures] == [
        (shard.cells[1].cell_id, "failed: disk of cell 1")
    ]


def test_the_journal_of_a_living_writer_shows_what_runs_and_at_what_pace(started):
    shard = started.plan().shards[0]
    rows = started.rows(shard, ["ok", "failed", "ok", None, None, None])
    path = started.write_journal(shard, rows, alive=True, opened=shard.cells[3].cell_id)
    os.utime(path, (time.time() + 30, time.time() + 30))  # three rows in half a minute
    assert counts(started) == (2, 1, 2, 1, 0)
    model = study_status(started.plan()).models[0]
    assert model.cells_per_second == pytest.approx(0.1, rel=0.2)  # the writer began moments ago
    assert model.seconds_left == pytest.approx(4 / model.cells_per_second)
    # The other model's shard waits for nobody.
    assert counts(started, model=1) == (0, 0, 0, 0, 6)


def test_the_journal_of_a_dead_writer_runs_nothing(started):
    shard = started.plan().shards[0]
    started.write_journal(shard, started.rows(shard, ["ok"] + [None] * 5), opened=shard.cells[3].cell_id)
    assert counts(started) == (1, 0, 0, 0, 5)


def test_a_cell_that_ran_out_of_memory_is_still_to_do(started):
    shard = started.plan().shards[0]
    path = started.write_journal(shard, started.rows(shard, ["ok"] + [None] * 5), opened=shard.cells[3].cell_id)
    note = {"died_at": "2026-01-01T00:00:00.000+00:00", "memory_limit_bytes": 10**9}
    path.write_bytes(path.read_bytes() + encode_line(shard.cells[3].cell_id, DEATH, note))
    os.utime(path, (time.time() - 2e6, time.time() - 2e6))
    assert counts(started) == (1, 0, 0, 0, 5)
    assert not [finding for finding in verify_results(Counter()) if str(path) in finding.what]


def test_while_a_run_is_at_work_the_rest_is_queued(started):
    shard = started.plan().shards[0]
    started.write_journal(shard, started.rows(shard, ["ok"] + [None] * 5))
    with hold_results():
        assert counts(started) == (1, 0, 5, 0, 0)
        assert study_status(started.plan()).head_is_alive


def queue_of(shard, state: str) -> Queue:
    comment = f"rule_evaluate_wildcards_{shard.model.slug}_{shard.slice_name}_{shard.key}"
    return Queue([Job("7", state, "1:00", "run", "None", comment)], current="")


@pytest.mark.parametrize(("state", "expected"), [("RUNNING", (1, 1, 4, 0, 0)), ("PENDING", (1, 0, 5, 0, 0))])
def test_slurm_says_which_writers_on_other_machines_live(state, expected, started, monkeypatch):
    shard = started.plan().shards[0]
    started.write_journal(shard, started.rows(shard, ["ok"] + [None] * 5), opened=shard.cells[3].cell_id)
    monkeypatch.setattr("kbit.upkeep.status.read_queue", lambda: queue_of(shard, state))
    assert counts(started) == expected
    status = study_status(started.plan())
    assert [(name, job.id) for name, job in status.jobs] == [(f"a/all.{shard.key}", "7")]


def test_a_models_journals_are_read_once_however_many_shards_lack_their_part(started, monkeypatch):
    """They may be gigabytes."""
    plan = started.plan()
    cells = plan.shards[0].cells
    halves = [
        replace(plan.shards[0], slice_name=name, cells=part)
        for name, part in zip("xy", (cells[:3], cells[3:]), strict=True)
    ]
    read = []
    monkeypatch.setattr(tracks, "read_journal", lambda path, _track: read.append(path) or (0, set()))
    journal = started.write_journal(plan.shards[0], started.rows(plan.shards[0], ["ok"] + [None] * 5))
    assert study_status(replace(plan, shards=tuple(halves))).total().cells == 6
    assert read == [journal]


def test_of_several_attempts_at_a_shard_the_last_is_the_one_that_runs(started, monkeypatch):
    shard = started.plan().shards[0]
    for cell in shard.cells[:2]:
        started.write_journal(shard, [], opened=cell.cell_id)
    monkeypatch.setattr("kbit.upkeep.status.read_queue", lambda: queue_of(shard, "RUNNING"))
    assert counts(started) == (0, 1, 5, 0, 0)


def test_what_a_job_without_a_part_said_last_is_shown(started):
    shard = started.plan().shards[0]
    log = shard_log_path(shard.model.slug, shard.slice_name, shard.key)
    log.parent.mkdir(parents=True)
    log.write_text("x" * 5000 + "\nkbit: no file f, which shard s needs\n\n")
    (error,) = study_status(started.plan()).job_errors
    assert (error.shard, error.said) == (f"a/all.{shard.key}", "kbit: no file f, which shard s needs")
    started.write_part(shard, started.rows(shard, ["ok"] * 6))
    assert study_status(started.plan()).job_errors == []


def test_a_damaged_part_is_named_and_its_cells_counted_by_the_journal(finished):
    shard = finished.plan().shards[0]
    shard.part.write_bytes(b"no part")
    assert counts(finished) == (6, 0, 0, 0, 0)
    assert str(shard.part) in study_status(finished.plan()).models[0].damaged[0]


def show(monkeypatch, capsys, *options: str) -> str:
    monkeypatch.setattr(sys, "argv", ["kbit", "status", "config/small.yaml", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_table_and_json_say_the_same(started, monkeypatch, capsys):
    started.finish(started.plan().shards[0], ["ok", "failed", "collapsed", "ok", "ok", "ok"])
    printed = show(monkeypatch, capsys)
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.startswith(("a ", "b ", "all "))}
    assert rows == {
        "a": ["6", "5", "0", "0", "1", "0"],
        "b": ["6", "0", "0", "0", "0", "6"],
        "all": ["12", "5", "0", "0", "1", "6"],
    }
    assert "of the cells that are done: 1 collapsed" in printed
    assert "failed: disk of cell 1" in printed
    assert "1 failed cells: `kbit retry`" in printed
    total = json.loads(show(monkeypatch, capsys, "--json"))["total"]
    assert [str(total[name]) for name in COUNTED] == rows["all"]


def test_looking_leaves_no_trace(finished, monkeypatch, capsys):
    finished.plan()
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    show(monkeypatch, capsys)
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, ""), (3, "1 min"), (1800, "30 min"), (3600, "1:00 h"), (90_000, "25:00 h")]
)
def test_time_left_in_words(seconds, words):
    assert duration(seconds) == words
