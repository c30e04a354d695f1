"""Where a row comes from: versions, commit, machine, memory. Imports no torch."""

import platform
import resource
import socket
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import kbit

CHECKOUT = Path(kbit.__file__).parents[1]


def provenance(threads: int, device: str) -> dict[str, object]:
    """The columns that are the same for every row of a process; `device` is cpu or the GPU's name."""
    return {
        "threads": threads,
        "device": device,
        "host": socket.gethostname() or platform.node(),
        "git_commit": git_commit(CHECKOUT),
        "kbit_version": kbit.__version__,
        "torch_version": version("torch"),
        "transformers_version": version("transformers"),
        "lm_eval_version": version("lm_eval"),
    }


@cache
def git_commit(checkout: Path) -> str | None:
    """Commit of a checkout of this software, + if a file under kbit/ differs from it; None if it is no checkout."""
    # An installed package may lie inside somebody else's repository, whose commit says nothing.
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "status", "--porcelain=v2", "--branch", "--", "kbit"]
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
