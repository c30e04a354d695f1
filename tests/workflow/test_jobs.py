"""A cluster's job reads the Snakefile again, as the executor calls it: for its own rule, and without the study."""

import sys
from pathlib import Path

from workspace import Workspace

from kbit.plan.plan import plan_study, write_inputs


def test_a_queued_job_runs_as_planned_although_its_study_is_gone(tmp_path, monkeypatch):
    workspace = Workspace.create(tmp_path)
    large = {"name": "large", "family": "x", "path": "../data/models/neox-32x2", "parameters": 10**9}
    workspace.write_yaml("config/models.yaml", {"models": [large]})
    workspace.write_study(models=["large"])
    monkeypatch.chdir(tmp_path)
    plan = plan_study(Path("config/small.yaml"))
    write_inputs(plan)
    for path in plan.requests:
        path.touch()
    for path in Path("config").iterdir():
        path.unlink()
    shard = plan.shards[0]
    target = f"evaluate:model={shard.model.slug},slice={shard.slice_name},key={shard.key}"
    called = ["--target-jobs", target, "--allowed-rules", "evaluate", "--mode", "remote", "--cores", "all", "--force"]
    place = ["--configfiles", "profiles/slurm/hardware.yaml", "--config", "study=config/small.yaml"]
    said = workspace.call(sys.executable, "-m", "snakemake", *called, *place, "-n", "--printshellcmds").stdout
    (command,) = (line for line in said.splitlines() if "kbit run-shard" in line)
    assert f"kbit run-shard {shard.file} --part {shard.part} " in command
    assert " --device cuda --gpus 1 " in command
