"""Re-runs cost what is new and nothing else (F14 of the design: identity and re-runs)."""

import os
import shutil
import time

import pytest
from workspace import Workspace

DOWNSTREAM = {"tables": 1, "fit": 1, "report": 1}


def test_finished_study_has_nothing_to_do(workspace):
    assert workspace.dry_run() == {}
    started = time.monotonic()
    assert "Nothing to be done" in workspace.run().stdout
    # The promise is 15 s on an idle machine; 60 s leaves room for a busy one.
    assert time.monotonic() - started < 60


def test_every_cell_was_evaluated_once(finished):
    counts = finished.evaluations()
    assert len(counts) == 2 * 3
    assert set(counts.values()) == {1}


def test_dry_run_in_a_fresh_clone_never_trains(tmp_path):
    jobs = Workspace.create(tmp_path / "clone").dry_run()
    assert jobs == {"build_requests": 1, "evaluate": 2, **DOWNSTREAM}


def test_adding_a_model_lists_its_slice_and_downstream(workspace):
    workspace.write_study(models=["a", "b", "c"])
    # All models share one tokenizer, so their requests are there.
    assert workspace.dry_run() == {"evaluate": 1, **DOWNSTREAM}


@pytest.mark.parametrize(
    ("changes", "new_cells"),
    [
        ({"data_types": ["int", "dynamic"]}, 4),
        ({"bits": [3, 4, 5]}, 2),
        ({"block_sizes": [64, 128]}, 4),
        ({"tasks": ["ho_piqa", "ho_perplexity"]}, 6),
    ],
    ids=["data type", "bit width", "block size", "task"],
)
def test_extending_the_grid_evaluates_exactly_the_new_cells(workspace, changes, new_cells):
    before = workspace.evaluations()
    workspace.write_study(**changes)
    workspace.run()
    after = workspace.evaluations()
    assert len(after) == len(before) + new_cells
    assert set(after.values()) == {1}
    assert workspace.table("cells").height == len(after)


@pytest.mark.parametrize("forgotten", [False, True], ids=["", "without .snakemake"])
def test_removing_a_model_rebuilds_the_tables_and_evaluates_nothing(workspace, forgotten):
    before = workspace.evaluations()
    workspace.write_study(models=["a"])
    if forgotten:
        shutil.rmtree(workspace.root / ".snakemake")
    assert workspace.dry_run() == DOWNSTREAM
    workspace.run()
    assert workspace.evaluations() == before
    assert workspace.table("cells")["model"].unique().to_list() == ["a"]


def test_renaming_a_model_evaluates_nothing(workspace):
    before = workspace.evaluations()
    workspace.write_models({"renamed": "a", "b": "b"})
    workspace.write_study(models=["renamed", "b"])
    assert workspace.dry_run() == DOWNSTREAM
    workspace.run()
    assert workspace.evaluations() == before
    assert set(workspace.table("models")["model"]) == {"renamed", "b"}


def test_a_codebook_version_re_evaluates_its_cells_and_going_back_counts_the_old_ones(workspace):
    before = workspace.evaluations()
    members = workspace.root / "kbit/spec/data_types.py"
    released = members.read_text()
    bumped = released.replace('"int",\n        1,', '"int",\n        2,')
    assert bumped != released
    members.write_text(bumped)
    workspace.run()
    evaluated = workspace.evaluations() - before
    # Two models, int at 3 and 4 bits; the 16-bit controls stay.
    assert len(evaluated) == 4
    members.write_text(released)
    assert workspace.dry_run() == DOWNSTREAM
    workspace.run()
    assert workspace.evaluations() == before + evaluated


def test_forgetting_touching_and_reformatting_change_nothing(workspace):
    shutil.rmtree(workspace.root / ".snakemake")
    for folder in ("data", "config", "kbit", "workflow"):
        for path in (workspace.root / folder).rglob("*"):
            if path.is_file():
                os.utime(path)
    for rules in (workspace.root / "workflow/rules").glob("*.smk"):
        rules.write_text(rules.read_text().replace("--output", " --output") + "\n# reformatted\n")
    evaluator = workspace.root / "kbit/evaluation/scorer.py"
    evaluator.write_text(evaluator.read_text() + "\n# reformatted\n")
    assert workspace.dry_run() == {}


def test_studies_that_share_cells_evaluate_them_once(workspace):
    workspace.write_study("second", bits=[4, 5])
    workspace.run("second")
    counts = workspace.evaluations()
    assert len(counts) == 2 * 3 + 2
    assert set(counts.values()) == {1}
    assert workspace.dry_run("small") == {}


def test_a_lost_part_comes_back_from_the_journal(workspace):
    before, rows = workspace.evaluations(), workspace.table("scores")
    for part in workspace.parts():
        part.unlink()
    workspace.run()
    assert workspace.evaluations() == before
    assert workspace.table("scores").equals(rows)
