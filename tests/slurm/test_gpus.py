"""GPUs of a cluster: a model may have several of one node, no two jobs have the same, one with too few says so.

The cluster's GPUs are not real, so that each job ends where torch finds none, and tells what Slurm gave it.
"""

import re

import pytest
from clone import Clone
from lab import Lab
from lab_files import NODES
from scenes import SECONDS, end_head
from workspace import MODELS

NODE = "n1"
NEEDS = (f"evaluate:slurm_extra='-w {NODE}'", "evaluate:mem_mb=1500")
HERE = ("--retries", "0", "--set-threads", "evaluate=1", "--set-resources", *NEEDS)
"""All jobs go to one small node, which has cores and memory for three of them: only GPUs are short."""


@pytest.fixture
def clone(local_run, tmp_path) -> Clone:
    """Models of 1.8 GB in a place whose GPUs have room for 1.2 GB of weights each."""
    local_run.copy_to(tmp_path / "clone")
    clone = Clone(tmp_path / "clone")
    clone.set_place()
    clone.edit("profiles/slurm/hardware.yaml", "gpu_memory_gb: 80", "gpu_memory_gb: 8")
    clone.edit("profiles/slurm/hardware.yaml", "max_gpus: 1", "max_gpus: 2")
    sizes = {"parameters": 450_000_000, "quantized_parameters": 100_000_000}
    clone.write_yaml(
        "config/models.yaml",
        {
            "models": [
                {"name": key, "family": "large", "path": f"../data/models/{MODELS[key][1]}", **sizes} for key in "ab"
            ]
        },
    )
    clone.forget_results()
    return clone


def hold_gpu(lab: Lab, clone: Clone, node: str) -> str:
    """A job that has one GPU of a node, the first: its id."""
    said = clone.root / f"held-{node}"
    holder = ["sbatch", "--parsable", "--gpus=1", "-w", node, "--mem=100", "-o", said.name]
    job_id = lab.call(*holder, "--chdir", str(clone.root), "--wrap", "echo $CUDA_VISIBLE_DEVICES; sleep 600").strip()
    lab.wait_for(lambda: said.exists() and said.read_text(), 30)
    assert said.read_text() == "0\n"
    return job_id


def test_a_job_has_the_gpus_its_model_was_planned_on_or_stops(clone, lab):
    clone.write_study(models=["a"])
    complete = clone.run_on_cluster(*HERE, expect=2)
    assert "torch finds no GPU on this node; CUDA_VISIBLE_DEVICES is 0,1" in complete.stderr
    (job,) = lab.jobs(*clone.submitted())
    assert "gres/gpu=2" in job["ReqTRES"]
    fewer = clone.run_on_cluster(*HERE, "evaluate:gpu=1", expect=2)
    (job_id,) = clone.submitted()
    assert f"2 GPUs planned, 1 visible in Slurm job {job_id}: CUDA_VISIBLE_DEVICES is 0;" in fewer.stderr
    assert not clone.parts()


def test_the_gpus_of_a_job_are_those_of_one_node(clone, lab):
    """Every node has one left: the job waits for a node with two, as a model cannot lie on two nodes."""
    holders = [hold_gpu(lab, clone, node) for node in NODES]
    clone.write_study(models=["a"])
    head = clone.start_on_cluster("--retries", "0", "--set-resources", "evaluate:mem_mb=1500")
    try:
        lab.wait_for(clone.submitted, SECONDS)
        (job_id,) = clone.submitted()
        lab.wait_for(lambda: lab.call("squeue", "-h", "-j", job_id, "-o", "%T %r").split()[1:] == ["Resources"], 30)
        lab.call("scancel", holders[1])
        assert head.wait(SECONDS) == 2
    finally:
        end_head(head)
    assert "CUDA_VISIBLE_DEVICES is 0,1" in (clone.root / "head.log").read_text()
    assert [job["NodeList"] for job in lab.jobs(job_id)] == [NODES[1]]


def test_no_two_jobs_have_the_same_gpu(clone, lab):
    """One GPU of the node is taken, so that of two jobs that need one the second waits for the first."""
    clone.edit("profiles/slurm/hardware.yaml", "gpu_memory_gb: 8", "gpu_memory_gb: 9")
    hold_gpu(lab, clone, NODE)
    clone.run_on_cluster(*HERE, expect=2)
    logs = [path.read_text() for path in clone.root.glob("results/logs/evaluate/*/*.log")]
    assert [re.findall(r"CUDA_VISIBLE_DEVICES is (\S+)", log) for log in logs] == [["1"], ["1"]]
    times = lab.call("sacct", "-X", "-P", "-n", "-o", "Start,End", "-j", ",".join(clone.submitted()))
    (_, end), (start, _) = sorted(line.split("|") for line in times.splitlines())
    assert end <= start
