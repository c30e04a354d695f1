"""Where a row comes from: versions, commit, machine, job, GPUs, memory. Imports no torch unless asked about GPUs."""

import json
import os
import platform
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import kbit

CHECKOUT = Path(kbit.__file__).parents[1]
PACKAGES = ("numpy", "tokenizers", "safetensors")
"""What a score passes through beside the packages that have a column of their own."""
LOADED_DRIVER = Path("/proc/driver/nvidia/version")


def provenance(threads: int, device: str) -> dict[str, object]:
    """The columns that are the same for every row of a process; `device` is cpu or the GPU's name."""
    return {
        "threads": threads,
        "device": device,
        **place(),
        "git_commit": git_commit(CHECKOUT),
        "kbit_version": kbit.__version__,
        "torch_version": version("torch"),
        "transformers_version": version("transformers"),
        "lm_eval_version": version("lm_eval"),
        "package_versions": package_versions(PACKAGES),
    }


def place() -> dict[str, str | None]:
    """The columns that say where this process runs; Slurm's are null outside of its jobs."""
    return {
        "host": socket.gethostname() or platform.node(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "node": os.environ.get("SLURMD_NODENAME"),
    }


def package_versions(packages: Iterable[str]) -> str:
    """JSON: Python's version and that of each package."""
    return json.dumps({"python": platform.python_version(), **{package: version(package) for package in packages}})


def gpu_columns(n_gpus: int) -> dict[str, str | None]:
    """The columns that say which GPUs these were, the first of those visible, and what drives them; null on a CPU."""
    if not n_gpus:
        return {"gpu_uuids": None, "driver_version": None, "cuda_version": None}
    import torch

    uuids = (torch.cuda.get_device_properties(index).uuid for index in range(n_gpus))
    return {
        "gpu_uuids": ",".join(f"GPU-{uuid}" for uuid in uuids),
        "driver_version": driver_version(LOADED_DRIVER),
        "cuda_version": torch.version.cuda,
    }


def driver_version(loaded: Path) -> str | None:
    """Version of the NVIDIA driver, from the kernel where it tells, else from nvidia-smi; None if neither knows."""
    try:
        found = re.search(r"Kernel Module\b.*?\s(\d+(?:\.\d+)+)\s", loaded.read_text(encoding="utf-8"))
    except OSError:
        found = None
    if found:
        return found[1]
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    return lines[0].strip() if lines else None


@cache
def git_commit(checkout: Path) -> str | None:
    """Commit of a checkout of this software, + if a file under kbit/ differs from it; None if it is no checkout."""
    # An installed package may lie inside somebody else's repository, whose commit says nothing.
    if not (checkout / ".git").exists():
        return None
    # Hundreds of jobs ask at once: none locks or rewrites the index under the user's own git.
    status = ["status", "--porcelain=v2", "--branch", "--", "kbit"]
    command = ["git", "--no-optional-locks", "-C", str(checkout), *status]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    commits = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    if not commits or commits[0] == "(initial)":
        return None
    is_changed = any(not line.startswith("#") for line in lines)
    return commits[0] + ("+" if is_changed else "")


def peak_memory_bytes(n_gpus: int) -> int:
    """Peak memory so far: of the process, or, of the first GPUs' allocators, the one that gave out most."""
    if n_gpus:
        import torch

        return max(torch.cuda.max_memory_allocated(index) for index in range(n_gpus))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux KiB.
    return peak if sys.platform == "darwin" else peak * 1024


def utc_now() -> str:
    """ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
