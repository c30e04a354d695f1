"""What a row says of where it comes from, asked of a node that is not this one."""

import json
import os
import subprocess

import numpy as np
import pytest
import torch

from kbit.evaluation.provenance import driver_version, git_commit, gpu_columns, provenance
from kbit.spec.rows import COLUMNS

# As the open and the closed kernel module print it.
OPEN = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder@U16)  Thu Jan 23 2025
GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)
"""
CLOSED = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024
GCC version:  gcc version 11.4.0 (Ubuntu 11.4.0-1ubuntu1~22.04)
"""


@pytest.mark.parametrize(("text", "version"), [(OPEN, "570.86.15"), (CLOSED, "535.183.01")], ids=["open", "closed"])
def test_the_kernel_names_the_driver_it_loaded(text, version, tmp_path):
    (tmp_path / "version").write_text(text)
    assert driver_version(tmp_path / "version") == version


@pytest.mark.parametrize("kernel", [None, "no such line"])
def test_nvidia_smi_is_asked_where_the_kernel_is_silent(kernel, tmp_path, monkeypatch):
    """In some containers, and on WSL."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n[ $1 = --query-gpu=driver_version ] && printf '560.35.03\\n560.35.03\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    if kernel:
        (tmp_path / "version").write_text(kernel)
    assert driver_version(tmp_path / "version") == "560.35.03"
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert driver_version(tmp_path / "version") is None


def test_a_cpu_has_no_gpu_columns():
    assert gpu_columns(0) == {"gpu_uuids": None, "driver_version": None, "cuda_version": None}


def test_a_slurm_job_and_its_node_are_named_and_nothing_else_is(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("SLURMD_NODENAME", raising=False)
    row = provenance(2, "cpu")
    assert (row["slurm_job_id"], row["node"]) == (None, None)
    assert row.keys() <= {column.name for column in COLUMNS}
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURMD_NODENAME", "n2")
    there = provenance(2, "cpu")
    assert {key: value for key, value in there.items() if row[key] != value} == {"slurm_job_id": "4711", "node": "n2"}


def test_versions_are_those_that_run():
    row = provenance(1, "cpu")
    assert row["torch_version"] == torch.__version__
    assert json.loads(row["package_versions"])["numpy"] == np.__version__


def test_a_commit_says_whether_the_software_was_changed(tmp_path):
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert git_commit.__wrapped__(tmp_path) is None
    git("init", "--quiet")
    (tmp_path / "kbit").mkdir()
    (tmp_path / "kbit/a.py").write_text("a = 1\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "notes").write_text("none of the software")
    assert git_commit.__wrapped__(tmp_path) == commit
    os.utime(tmp_path / "kbit/a.py", (1, 1))
    index = (tmp_path / ".git/index").read_bytes()
    assert git_commit.__wrapped__(tmp_path) == commit
    assert (tmp_path / ".git/index").read_bytes() == index, "git may be at work there"
    (tmp_path / "kbit/a.py").write_text("a = 2\n")
    assert git_commit.__wrapped__(tmp_path) == f"{commit}+"
