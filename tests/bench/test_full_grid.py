"""The full-grid bench plans what the paper's study plans, and a lost cell or a missed target is said."""

import json
from collections import Counter
from pathlib import Path

import pytest
from full_grid_figures import count_cells, cpu_line, row_events
from full_grid_head import Job, parse_duration, parse_jobs, submission_rate
from full_grid_lines import MARKS, README, TARGETS, verdict
from full_grid_study import ADDED, SMALLEST, STUDY, Scratch, paper_models, share_of

from kbit.plan.plan import plan_study
from kbit.plan.slices import slice_name
from kbit.store.lines import DEATH, START, encode_line

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """The bench's study of all models, without the clone."""
    root = tmp_path_factory.mktemp("grid")
    for name in ("config", "data"):
        (root / name).mkdir()
    (root / "config/tasks.yaml").symlink_to(ROOT / "config/tasks.yaml")
    (root / "data/tasks").symlink_to(ROOT / "data/tasks")
    Scratch(root).write_study(paper_models())
    return plan_study(root / STUDY)


def test_the_grid_has_the_papers_cells_and_jobs(plan):
    paper = plan_study(ROOT / "config/paper.yaml")
    cells = Counter(cell.model.name for cell in plan.cells)
    shards = Counter(shard.model.name for shard in plan.shards)
    largest = {"opt-175b"}
    assert {name: cells[name] for name in cells.keys() - largest} == Counter(cell.model.name for cell in paper.cells)
    assert {name: shards[name] for name in shards.keys() - largest} == Counter(
        shard.model.name for shard in paper.shards
    )
    assert cells["opt-175b"] == cells["opt-66b"]
    assert len(plan.cells) >= 35_000
    assert not plan.unbuilt
    assert {task.item_limit for task in plan.study.tasks} == {4}


def test_models_are_copies_with_weights_of_their_own_cut_as_the_real_ones(plan):
    assert len({model.model_id for model in plan.study.models}) == len(plan.study.models) == 34
    assert len({model.tokenizer_id for model in plan.study.models}) == 1
    for model in plan.study.models:
        assert (
            model.path.joinpath("model.safetensors").stat().st_size == (SMALLEST / "model.safetensors").stat().st_size
        )
    for shard in plan.shards:
        assert shard.slice_name == slice_name(shard.model.parameters, shard.cells[0].spec)


def test_one_model_more_leaves_all_others_as_they_are(plan, tmp_path):
    root = tmp_path / "grid"
    root.mkdir()
    for name in ("config", "data"):
        (root / name).symlink_to(plan.study.path.parents[1] / name)
    sheet, study = (plan.study.path.parent / name for name in ("grid-models.yaml", STUDY.name))
    before = {file: file.read_text() for file in (sheet, study)}
    try:
        Scratch(root).write_study([*paper_models(), ADDED])
        more = plan_study(root / STUDY)
    finally:
        for file, text in before.items():
            file.write_text(text)
    assert {shard.part for shard in plan.shards} < {shard.part for shard in more.shards}
    assert len(more.shards) == len(plan.shards) + 1


def test_a_share_is_spread_over_the_models():
    assert share_of(range(34), 1) == list(range(34))
    assert share_of(range(34), 0.06) == [8, 25]
    assert share_of(range(34), 0.001) == [17]


def test_cells_are_counted_by_their_rows(tmp_path):
    folder = tmp_path / "results/journal/m"
    folder.mkdir(parents=True)
    events = [("a", START), ("a", DEATH), ("a", "ok"), ("b", START), ("c", "failed")]
    lines = [encode_line(cell, what, {}) for cell, what in events]
    (folder / "1.jsonl").write_bytes(b"".join(lines))
    (folder / "2.jsonl").write_bytes(encode_line("c", "ok", {}) + b"00000000 torn")
    assert count_cells(["a", "b", "c"], *row_events(tmp_path)) == {
        "planned": 3,
        "once": 1,
        "missing": 1,
        "twice": 1,
        "foreign": 0,
        "bad_lines": 1,
    }


def test_jobs_are_read_from_slurms_accounting():
    lines = [
        "7|COMPLETED|100|101|111|10|00:00:00|rule_evaluate_wildcards_m_all_0123456789ab",
        "7.batch|COMPLETED|101|101|111|10|00:02.500|",
        "7.0|COMPLETED|102|102|111|9|01:01.250|",
        "8|CANCELLED by 0|100|Unknown|Unknown|0|00:00:00|rule_build_requests_wildcards_ho_piqa_dcba98765432",
    ]
    assert parse_jobs(lines) == [
        Job("7", "COMPLETED", 100, 101, 111, 10.0, 63.75, "evaluate", "0123456789ab"),
        Job("8", "CANCELLED", 100, 0, 0, 0.0, 0.0, "build_requests", "dcba98765432"),
    ]
    assert parse_duration("1-00:00:01.5") == 86401.5


def test_the_rate_of_submissions_is_that_of_the_longest_run_without_a_pause():
    jobs = [Job(str(at), "COMPLETED", at, 0, 0, 0, 0, "evaluate", "") for at in (0, 50, 50, 51, 52, 53, 53, 90)]
    assert submission_rate(jobs) == 6 / 4
    assert submission_rate(jobs[:1]) is None


def test_what_a_job_costs_is_told_from_what_its_cells_do():
    jobs = [Job("", "COMPLETED", 0, 0, 0, 0, 7 + 0.5 * size, "evaluate", str(size)) for size in (5, 20, 100)]
    line = {"overhead_cpu_seconds_per_job": 7.0, "cpu_seconds_per_cell": 0.5}
    assert cpu_line(jobs, {"5": 5, "20": 20, "100": 100}) == line
    assert set(cpu_line(jobs[:1], {"5": 5}).values()) == {None}


def figures(**changes: object) -> dict:
    run = {"wall_seconds": 1.0}
    cells = {"planned": 9, "once": 9, "missing": 0, "twice": 0, "foreign": 0, "bad_lines": 0, "table_rows": 9, "ok": 9}
    found = {name: target for name, (target, _) in TARGETS.items()}
    found |= {
        "cells": cells,
        "added_model": cells,
        "jobs": {"evaluate COMPLETED": 3},
        "shards": 3,
        "at_once": 2,
        "resumed": False,
        "fraction": 1,
    }
    found |= {
        "cpu_seconds": 1,
        "job_cpu_seconds": 1,
        "cell_seconds": 1,
        "all_jobs_cpu_seconds": 1,
        "head_cpu_seconds": 1,
        "after": {"fit": run},
    }
    found |= {"overhead_seconds_per_job": 1, "overhead_cpu_seconds_per_job": 1, "submissions_per_second": None}
    return found | {"sizes": {"results": {"bytes": 1, "disk_bytes": 1, "files": 1}}} | changes


def test_a_lost_cell_or_a_missed_target_fails_the_bench():
    assert verdict(figures())[1]
    for name, (target, _) in TARGETS.items():
        assert not verdict(figures(**{name: target + 0.01}))[1], name
    for lost in ("missing", "twice", "foreign", "bad_lines"):
        for where in ("cells", "added_model"):
            assert not verdict(figures(**{where: figures()[where] | {lost: 1}}))[1], (where, lost)
    assert not verdict(figures(cells=figures()["cells"] | {"table_rows": 8}))[1]
    # A part of the study says nothing of the time that all of it takes.
    assert verdict(figures(whole_minutes=1000, resumed=True))[1]


def test_the_readme_quotes_the_last_full_run():
    start, end = MARKS
    quoted = README.read_text().partition(start)[2].partition(end)[0].strip().removeprefix("```").removesuffix("```")
    file = ROOT / "bench/results/full_grid.json"
    expected = "\n".join(verdict(json.loads(file.read_text()))[0]) if file.exists() else ""
    assert quoted.strip() == expected
