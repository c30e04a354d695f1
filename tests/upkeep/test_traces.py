"""Logs and benchmarks go with the files that they are of."""

from pathlib import Path

import pytest

from kbit.plan.hub import data_digest
from kbit.plan.plan import Plan
from kbit.store.paths import task_path
from kbit.upkeep.prune import unneeded_files
from kbit.upkeep.traces import unneeded_traces


def traces_of(plan: Plan) -> set[Path]:
    """One of each kind, where the rules write them."""
    shard, request, task = plan.shards[0], next(iter(plan.requests)), plan.study.tasks[0]
    jobs = [
        f"evaluate/{shard.model.slug}/{shard.slice_name}.{shard.key}",
        f"build_requests/{request.stem}",
        f"fetch_model/{shard.model.slug}",
        f"fetch_task/{task_path(task.name, data_digest(task)).stem}",
        *(f"{rule}/{plan.study.name}" for rule in ("tables", "fit", "report")),
    ]
    return {
        Path(f"results/{folder}/{job}.{end}")
        for job in jobs
        for folder, end in (("logs", "log"), ("benchmarks", "tsv"))
    }


@pytest.fixture
def plans(folder) -> list[Plan]:
    """Two studies that share nothing but a folder, and what their jobs left in it."""
    folder.write_study("one", models=["a"], tasks=["ho_piqa"])
    folder.write_study("two", models=["b"], tasks=["ho_winogrande"])
    plans = [folder.plan("one"), folder.plan("two")]
    for path in (*traces_of(plans[0]), *traces_of(plans[1])):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return plans


def test_those_of_a_study_that_is_gone_go(plans):
    assert unneeded_traces(plans) == []
    gone = traces_of(plans[1])
    assert set(unneeded_traces(plans[:1])) == gone
    assert {item.path for item in unneeded_files(plans[:1]) if item.kind == "logs and benchmarks"} == gone


def test_what_others_write_there_stays(plans):
    for path in (Path("results/logs/slurm/rule_evaluate/7.log"), Path("results/benchmarks/train/neox.tsv")):
        path.parent.mkdir(parents=True)
        path.touch()
    assert unneeded_traces(plans) == []
