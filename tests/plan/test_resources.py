"""What a job asks the scheduler for, and what it is told: the same in the head, which planned it, as in the job."""

from pathlib import Path

import pytest
from workspace import Workspace

from kbit.plan.jobs import PlannedJobs
from kbit.plan.places import JobOptions, job_options
from kbit.plan.plan import plan_study, write_inputs
from kbit.plan.resources import gpu_resources, memory_mb
from kbit.plan.submitted import SubmittedJobs
from kbit.spec.errors import UserError
from kbit.spec.hardware import Hardware
from kbit.upkeep import inventory
from kbit.upkeep.studies import needed_files

BILLION = 10**9


@pytest.mark.parametrize(
    ("request_", "model", "gpus", "expected"),
    [
        ("none", None, 1, (1, "", "")),
        ("none", "a100", 0, (0, "", "")),
        ("gpus", None, 2, (2, "", "")),
        ("gpus", "a100", 1, (1, "a100", "")),
        # A model alone would be an empty request for GPUs of that model.
        ("gpus", "a100", 0, (0, "", "")),
        # Both `gpu` and `gres` would ask twice.
        ("gres", None, 1, (0, "", "gpu:1")),
        ("gres", "a100", 2, (0, "", "gpu:a100:2")),
        ("gres", "a100", 0, (0, "", "")),
    ],
)
def test_a_job_asks_for_gpus_as_its_place_wants(request_, model, gpus, expected):
    got = gpu_resources(gpus, Hardware(gpu_request=request_, gpu_model=model))
    assert tuple(got[name] for name in ("gpu", "gpu_model", "gres")) == expected


@pytest.mark.parametrize(
    ("needed", "asked"), [(2_000, 2_400), (127_700, 128_000), (128_000, 128_000), (128_001, 128_401)]
)
def test_the_snakemakes_of_a_job_take_it_no_further_than_its_share_of_a_node(needed, asked):
    """Or eight jobs of 128 GB would be one too many for a node of eight GPUs and 1,024 GB. A model may need more."""
    assert memory_mb(needed, Hardware(host_memory_gb=128)) == asked


@pytest.mark.parametrize(
    ("billions", "place", "expected"),
    [
        # Nobody hands GPUs out: a laptop's GPU is used if there is one, whatever the plan counts on.
        (1, {"gpu_request": "none"}, JobOptions(4, "auto", 0)),
        (0.001, {"gpu_request": "none"}, JobOptions(1, "auto", 0)),
        (0.001, {"gpu_request": "gpus"}, JobOptions(1, "cpu", 0)),
        (1, {"gpu_request": "gpus"}, JobOptions(4, "cuda", 1)),
        (1, {"gpu_request": "gres"}, JobOptions(4, "cuda", 1)),
        # 140 GB of weights on cards of 72 GB, of which 66 take weights.
        (70, {"gpu_request": "gpus", "max_gpus": 4}, JobOptions(4, "cuda", 3)),
        # Also where there is a GPU.
        (70, {"gpu_request": "none", "max_gpus": 0}, JobOptions(1, "cpu", 0)),
    ],
)
def test_a_job_is_told_what_the_size_of_its_model_needs(billions, place, expected):
    parameters = int(billions * BILLION)
    assert job_options(parameters, parameters, "float16", Hardware(**place)) == expected


def test_a_job_comes_to_what_the_head_planned_without_the_study(tmp_path, monkeypatch):
    workspace = Workspace.create(tmp_path)
    large = {"name": "large", "family": "x", "path": "../data/models/neox-32x2", "parameters": 2 * BILLION}
    small = {"name": "small", "family": "x", "path": "../data/models/opt-32x2"}
    workspace.write_yaml("config/models.yaml", {"models": [large, small]})
    workspace.write_study(models=["large", "small"], tasks=["ho_piqa", "ho_perplexity"])
    monkeypatch.chdir(tmp_path)
    hardware = Hardware(gpu_request="gpus")
    plan = plan_study(Path("config/small.yaml"))
    write_inputs(plan)
    planned, submitted = PlannedJobs(plan, hardware), SubmittedJobs(hardware)
    (tmp_path / "config/small.yaml").unlink()
    for shard in plan.shards:
        wildcards = {"model": shard.model.slug, "slice": shard.slice_name, "key": shard.key}
        assert submitted.requests(**wildcards) == planned.requests(**wildcards)
        assert submitted.options(**wildcards) == planned.options(**wildcards)
    assert {planned.resources(shard.model.slug, shard.slice_name, shard.key).gpu for shard in plan.shards} == {0, 1}


def test_a_job_that_looks_at_hidden_units_likewise(tmp_path, monkeypatch):
    workspace = Workspace.create(tmp_path)
    large = {"name": "large", "family": "x", "path": "../data/models/neox-32x2", "parameters": 2 * BILLION}
    small = {"name": "small", "family": "x", "path": "../data/models/opt-32x2"}
    workspace.write_yaml("config/models.yaml", {"models": [large, small]})
    workspace.write_study(models=["large", "small"], tasks=["ho_piqa", "ho_perplexity"])
    monkeypatch.chdir(tmp_path)
    plain = plan_study(Path("config/small.yaml"))
    assert plain.outliers == ()
    workspace.write_study(models=["large", "small"], tasks=["ho_piqa", "ho_perplexity"], outliers_task="ho_perplexity")
    plan = plan_study(Path("config/small.yaml"))
    assert plan.key != plain.key  # so that the tables are built again
    assert plan.parts == plain.parts
    write_inputs(plan)
    assert set(inventory.outliers_files()) == {job.file for job in plan.outliers}
    assert not set(inventory.outliers_files()) & needed_files(plain)
    assert set(inventory.outliers_files()) <= needed_files(plan)
    hardware = Hardware(gpu_request="gpus")
    planned, submitted = PlannedJobs(plan, hardware), SubmittedJobs(hardware)
    for job in plan.outliers:
        wildcards = {"model": job.model.slug, "key": job.key}
        assert submitted.outliers_requests(**wildcards) == planned.outliers_requests(**wildcards)
        assert submitted.outliers_options(**wildcards) == planned.outliers_options(**wildcards)
        assert planned.outliers_requests(**wildcards)[0].startswith("results/requests/ho_perplexity.")
    assert [planned.outliers_resources(job.model.slug, job.key).gpu for job in plan.outliers] == [1, 0]
    workspace.write_study(models=["large", "small"], tasks=["ho_piqa"], outliers_task="ho_piqa")
    with pytest.raises(UserError, match=r"'ho_piqa' is not one of the study's perplexity tasks, of which it has none"):
        plan_study(Path("config/small.yaml"))
