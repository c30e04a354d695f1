"""A whole study through profiles/slurm: the same numbers, jobs that ask for what was planned, and only what is new."""

import json
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from clone import TABLES, Clone
from lab_files import GPU_MODEL
from workspace import MODELS

from kbit.plan.plan import plan_study
from kbit.plan.resources import estimate_study
from kbit.spec.hardware import hardware_of_profile

PASSING = ("host", "node", "slurm_job_id", "seconds", "quantize_seconds", "peak_memory_bytes", "started_at")
"""Columns that may differ between two runs of a cell."""


def rules(jobs: list[dict[str, str]]) -> list[str]:
    """The rule of each job, which Slurm's comment names."""
    return sorted(job["Comment"].split("_wildcards_")[0].removeprefix("rule_") for job in jobs)


@pytest.fixture
def clone(slurm_run, tmp_path):
    """A copy of the study that ran through Slurm, to change at will."""
    slurm_run.copy_to(tmp_path / "clone")
    return Clone(tmp_path / "clone")


def test_a_study_has_the_same_tables_as_on_this_machine(slurm_run, local_run):
    for name in ("scores", "points", "models", "cells"):
        there, here = (run.table(name) for run in (slurm_run, local_run))
        assert there.drop(PASSING, strict=False).equals(here.drop(PASSING, strict=False)), name
    assert (slurm_run.root / "reports/small/index.html").exists()
    assert set(slurm_run.evaluations().values()) == {1}


def test_jobs_ask_for_what_was_planned(slurm_run, session_lab, tmp_path, monkeypatch):
    jobs = session_lab.jobs(*slurm_run.submitted())
    assert rules(jobs) == ["build_requests", "evaluate", "evaluate"]
    assert {job["State"] for job in jobs} == {"COMPLETED"}
    # What a head planned that had nothing yet.
    monkeypatch.chdir(Clone.create(tmp_path / "fresh").root)
    plan = plan_study(Path("config/small.yaml"))
    estimate = estimate_study(plan, hardware_of_profile(Path("profiles/slurm")))
    planned = {shard.key: estimate.resources(shard) for shard in plan.shards}
    for job in jobs:
        key = job["Comment"].rpartition("_")[2]
        memory, minutes = (planned[key].mem_mb, planned[key].runtime) if key in planned else (2000, 30)
        assert job["ReqMem"] == f"{memory}M"
        assert job["Timelimit"] == f"00:{minutes:02}:00"
        assert job["ReqTRES"] == f"billing=1,cpu=1,mem={memory}M,node=1"


def test_a_part_names_the_job_and_the_node_that_made_it(slurm_run, session_lab):
    jobs = session_lab.jobs(*slurm_run.submitted())
    evaluated = {(job["JobIDRaw"], job["NodeList"]) for job in jobs if job["Comment"].startswith("rule_evaluate")}
    assert len(evaluated) == 2
    footers = [pq.read_schema(part).metadata for part in slurm_run.parts()]
    assert {(footer[b"kbit_slurm_job_id"].decode(), footer[b"kbit_node"].decode()) for footer in footers} == evaluated
    sources = [source for footer in footers for source in json.loads(footer[b"kbit_sources"])]
    assert {(source["slurm_job_id"], source["node"]) for source in sources} == evaluated
    assert len(list(slurm_run.root.glob("results/benchmarks/evaluate/*/*.tsv"))) == 2


@pytest.mark.parametrize("request_", ["gpus", "gres"])
def test_a_job_planned_on_a_gpu_has_one_and_never_computes_on_a_cpu(local_run, lab, tmp_path, request_):
    local_run.copy_to(tmp_path / "clone")
    clone = Clone(tmp_path / "clone")
    clone.set_place()
    clone.edit("profiles/slurm/hardware.yaml", "gpu_request: gpus", f"gpu_request: {request_}")
    clone.edit("profiles/slurm/hardware.yaml", "gpu_model: null", f"gpu_model: {GPU_MODEL}")
    entry = {"name": "large", "family": "tiny NeoX", "path": f"../data/models/{MODELS['a'][1]}", "parameters": 10**8}
    clone.write_yaml("config/models.yaml", {"models": [entry]})
    clone.write_study(models=["large"])
    clone.forget_results()
    # The cluster's GPUs are not real: what the job says then shows what Slurm gave it.
    refused = clone.run_on_cluster("--retries", "0", expect=2)
    assert "device cuda: torch finds no GPU on this node; CUDA_VISIBLE_DEVICES is 0" in refused.stderr
    jobs = lab.jobs(*clone.submitted())
    assert rules(jobs) == ["evaluate"]
    assert all("gres/gpu=1" in job["ReqTRES"] for job in jobs)
    assert clone.finished_cells() == 0


def test_adding_a_model_submits_its_jobs_alone(clone, lab):
    before = clone.evaluations()
    clone.write_study(models=["a", "b", "c"])
    clone.run_on_cluster(*TABLES)
    assert rules(lab.jobs(*clone.submitted())) == ["evaluate"]
    added = clone.evaluations() - before
    assert len(added) == 3
    assert set(clone.evaluations().values()) == {1}
    assert clone.table("cells").height == 9


def test_adding_a_task_evaluates_the_missing_cells_alone(clone, lab):
    before = clone.evaluations()
    clone.write_study(tasks=["ho_piqa", "ho_perplexity"])
    clone.run_on_cluster(*TABLES)
    assert rules(lab.jobs(*clone.submitted())) == ["build_requests", "evaluate", "evaluate"]
    added = clone.evaluations() - before
    assert len(added) == 2 * 3
    assert set(clone.evaluations().values()) == {1}
    assert clone.table("cells").height == 2 * 3 * 2


def test_the_head_itself_may_be_a_job(clone, lab):
    """As docs/running-on-slurm.md says for login nodes that kill long processes."""
    clone.write_study(models=["a", "b", "c"])
    submit = ["sbatch", "--parsable", "--wait", "--mem", "2G", "--time", "10", "--output", "head.log"]
    submit += ["--wrap", shlex.join(clone.command(*TABLES))]
    head = clone.call(*submit).stdout.strip()
    (job,) = lab.jobs(*clone.submitted())
    assert (job["JobIDRaw"] != head, rules([job])) == (True, ["evaluate"])
    assert job["State"] == "COMPLETED", (clone.root / "head.log").read_text()
    assert clone.table("cells").height == 9
