"""`kbit prune` drops what nobody needs and loses no row, whatever lies there."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kbit.cli import main
from kbit.spec.errors import UserError
from kbit.store import head
from kbit.store.head import hold_results
from kbit.store.journal import read_journals
from kbit.store.parts import part_rows, read_part
from kbit.store.paths import journal_folder, tables_folder
from kbit.store.rows import encode_row
from kbit.upkeep import inventory
from kbit.upkeep.prune import Pruned, plan_pruning, prune
from kbit.upkeep.slurm import Queue
from kbit.upkeep.studies import find_studies, plan_studies
from kbit.upkeep.verify import verify_results

FINAL = ("ok", "collapsed", "unsupported", "crashed")


def final_rows() -> dict[str, str]:
    """The final row of every cell of every model, as a job would take it over: from journals, else from parts."""
    rows = {}
    for model in inventory.model_folders():
        for part in inventory.parts(model):
            rows |= {row["cell_id"]: row for row in part_rows(read_part(part)) if row["status"] in FINAL}
        rows |= read_journals(journal_folder(model)).rows
    return {cell: json.dumps(encode_row(row), sort_keys=True) for cell, row in rows.items()}


def all_files() -> set[Path]:
    return {path for path in Path("results").rglob("*") if path.is_file()}


def prune_for(*names: str) -> Pruned:
    done = Pruned()
    prune(plan_pruning(plan_studies([Path(f"config/{name}.yaml") for name in names])), done)
    return done


@pytest.fixture
def two_studies(finished):
    """The study, and another with a wider grid that is finished as well."""
    finished.write_study("wide", bits=[3, 4, 5], models=["a"])
    finished.finish(finished.plan("wide").shards[0])
    for name in ("small", "wide"):
        (tables_folder(name) / "cells.parquet").parent.mkdir(parents=True)
        (tables_folder(name) / "cells.parquet").write_bytes(b"rows")
    return finished


@pytest.mark.usefixtures("two_studies")
def test_what_every_study_needs_stays():
    before = all_files()
    plans = plan_studies([])
    assert [plan.study.name for plan in plans] == ["small", "wide"]
    assert list(plan_pruning(plans).items) == []
    prune_for("small")  # the other one lies in config/, so it counts unnamed
    journals = {path for path in before if path.suffix == ".jsonl"}
    assert before - all_files() <= journals


def test_what_a_removed_study_alone_needed_goes_and_its_rows_stay(two_studies):
    rows, wide = final_rows(), two_studies.plan("wide").shards[0]
    Path("config/wide.yaml").unlink()
    items = {item.path: item.kind for item in plan_pruning(plan_studies([])).items}
    assert items == {
        wide.part: "parts",
        wide.file: "shard files",
        tables_folder("wide").parent: "tables of a study",
    }
    prune_for("small")
    assert not any(path.exists() for path in items)
    assert final_rows() == rows
    assert len(rows) == 2 * 6 + 2  # of the wide study two cells more


def test_a_model_that_is_gone_leaves_no_empty_folder(finished):
    gone = finished.plan().shards[1]
    finished.write_study(models=["a"])
    rows = final_rows()
    prune_for("small")
    assert not gone.part.parent.exists()
    assert not gone.file.parent.exists()
    assert final_rows() == rows


@pytest.mark.usefixtures("finished")
def test_a_study_that_cannot_be_planned_stops_it_with_one_line():
    Path("config/broken.yaml").write_text("name: broken\ntitle: B\nmodels: [nobody]\n")
    with pytest.raises(UserError) as caught:
        plan_studies([])
    assert "config/broken.yaml" in str(caught.value)
    assert "--without config/broken.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [plan.study.name for plan in plan_studies([], without=[Path("config/broken.yaml")])] == ["small"]


@pytest.mark.usefixtures("finished")
def test_without_any_study_nothing_is_pruned():
    Path("config/small.yaml").unlink()
    with pytest.raises(UserError, match="nothing says what is needed"):
        plan_studies([])


def test_data_sheets_are_no_studies(two_studies):
    two_studies.write_study("third")
    assert [path.name for path in find_studies()] == ["small.yaml", "third.yaml", "wide.yaml"]
    assert [path.name for path in find_studies(Path(__file__).parents[2] / "config")] == [
        "methods.yaml",
        "paper.yaml",
        "published.yaml",
        "smollm.yaml",
        "tiny.yaml",
    ]


STATUSES = st.sampled_from([None, None, *FINAL, "failed"])
SHARDS = st.lists(STATUSES, min_size=6, max_size=6)


@given(journals=st.lists(SHARDS, max_size=4), part=st.none() | SHARDS, keeps=st.booleans(), alive=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_no_final_row_is_ever_lost(journals, part, keeps, alive, folder):
    """Of one model: any rows in journals and, alone or as well, in a part that is needed or not."""
    shutil.rmtree("results", ignore_errors=True)
    folder.write_study(bits=[3, 4])
    shard = folder.plan().shards[0]
    for number, statuses in enumerate(journals):
        folder.write_journal(shard, folder.rows(shard, statuses, seed=number), alive=alive and number == 0)
    if part is not None:
        folder.write_part(shard, folder.rows(shard, [status or "ok" for status in part]))
    rows, finals = final_rows(), set(inventory.journals())
    if not keeps:
        folder.write_study(bits=[5])
    prune_for("small")
    assert final_rows() == rows
    assert shard.part.exists() == (keeps and part is not None)
    if alive and journals:
        assert finals <= set(inventory.journals())  # one may be in use, so none was touched


def run(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["kbit", *arguments])
    try:
        main()
    except SystemExit as ended:
        return ended.code or 0
    return 0


def test_it_lists_and_does_nothing_until_told(two_studies, monkeypatch, capsys):
    part = two_studies.plan("wide").shards[0].part
    Path("config/wide.yaml").unlink()
    before = all_files()
    assert run(monkeypatch, "prune") == 0
    printed = capsys.readouterr().out
    assert f"    {part}\n" in printed
    assert "journals to merge: 2 of 1 models" in printed
    assert "Nothing is removed yet" in printed
    assert all_files() == before
    assert run(monkeypatch, "prune", "--yes", "--json") == 0
    done = json.loads(capsys.readouterr().out)["done"]
    assert (done["dropped"], done["merged"], done["rows_journaled"]) == (3, 2, 0)
    assert not part.exists()


@pytest.mark.usefixtures("two_studies")
def test_it_is_refused_while_a_run_is_at_work(monkeypatch, capsys):
    monkeypatch.setattr(head, "PATIENCE_SECONDS", 0.1)
    before = all_files()
    with hold_results():
        assert run(monkeypatch, "prune", "--yes") == 2
    assert "another `kbit run` holds results/" in capsys.readouterr().err
    assert {path for path in all_files() if path != head.LOCK} == before


def test_journals_are_merged_also_where_rows_of_a_dropped_part_are_journaled(finished):
    shard = finished.plan().shards[0]
    for journal in inventory.journals(shard.model.slug):
        journal.unlink()
    finished.write_journal(shard, finished.rows(shard, [None] * 5 + ["failed"]))
    finished.write_journal(shard, finished.rows(shard, ["ok"] + [None] * 5))
    rows = final_rows()
    finished.write_study(bits=[5])
    done = prune_for()
    assert (done.merged, done.rows_journaled) == (2, 5)
    assert final_rows() == rows


@pytest.mark.usefixtures("two_studies")
def test_what_cannot_be_removed_is_one_line(monkeypatch, capsys):
    Path("config/wide.yaml").unlink()

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("kbit.upkeep.prune.shutil.rmtree", refuse)
    assert run(monkeypatch, "prune", "--yes") == 2
    printed = capsys.readouterr()
    assert printed.err == f"kbit: {tables_folder('wide').parent} cannot be removed: Permission denied\n"
    assert "Pruned: 2 files and folders" in printed.out  # the part and its shard file: what was done is told


def test_room_is_made_before_any_is_needed(two_studies, monkeypatch, capsys):
    """On a full disk no merged journal can be written, but what nobody needs can go."""
    part = two_studies.plan("wide").shards[0].part
    Path("config/wide.yaml").unlink()

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kbit.store.compaction.os.fsync", full)
    rows = final_rows()
    assert run(monkeypatch, "prune", "--yes") == 2
    assert capsys.readouterr().err.endswith("cannot be merged: No space left on device\n")
    assert not part.exists()
    assert not tables_folder("wide").exists()
    assert final_rows() == rows
    assert not list(inventory.temporaries())


KILLED_AT = ["check_written", "sync_folder", "remove_merged"]


@pytest.mark.usefixtures("two_studies")
@pytest.mark.parametrize("step", KILLED_AT)
def test_a_prune_that_was_killed_lost_nothing_and_the_next_one_ends_it(step):
    """A real SIGKILL, at each step of a merge; what it left is told, and cleared away."""
    Path("config/wide.yaml").unlink()
    rows = final_rows()
    code = f"""
import os, signal
from pathlib import Path
from kbit.store import compaction
step = compaction.{step}
def last(*arguments):
    if "{step}" != "remove_merged":
        step(*arguments)
    else:
        next(iter(arguments[0])).unlink()  # one of the old ones is gone
    os.kill(os.getpid(), signal.SIGKILL)
compaction.{step} = last
from kbit.cli.prune import prune_results
prune_results([], [], True, 24.0, False)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert final_rows() == rows
    assert "`kbit prune`" in head.read_holder()
    for path in Path("results").rglob("*merged*"):
        os.utime(path, (1e9, 1e9))  # of a process that is long gone
    prune_for("small")
    assert final_rows() == rows
    assert not inventory.temporaries()
    assert [len(inventory.journals(model)) for model in inventory.model_folders()] == [1, 1]
    assert [finding for finding in verify_results(Counter()) if finding.level == "problem"] == []


@pytest.mark.usefixtures("two_studies")
def test_json_stays_json_where_slurms_queue_is_unknown(monkeypatch, capsys):
    monkeypatch.setattr("kbit.cli.prune.read_queue", lambda: Queue(silence="squeue did not answer"))
    assert run(monkeypatch, "prune", "--yes", "--json") == 0
    printed = capsys.readouterr()
    assert "kept_for" in json.loads(printed.out)
    assert printed.err.startswith("note: Slurm's queue is unknown (squeue did not answer)")


def test_leftovers_of_dead_writers_go_and_others_stay(finished, monkeypatch):
    part = finished.plan().shards[0].part
    dead, recent = (part.with_name(f".{part.name}.elsewhere-{pid}.tmp") for pid in (77, 78))
    for path in (dead, recent):
        path.write_bytes(b"half")
    os.utime(dead, (1e9, 1e9))
    assert run(monkeypatch, "prune", "--yes") == 0
    assert (dead.exists(), recent.exists()) == (False, True)


@pytest.mark.usefixtures("finished")
def test_a_leftover_goes_with_the_study_that_it_lies_in(monkeypatch):
    left = tables_folder("gone") / ".cells.parquet.x1y2z3.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    os.utime(left, (1e9, 1e9))
    assert run(monkeypatch, "prune", "--yes") == 0
    assert not tables_folder("gone").parent.exists()
