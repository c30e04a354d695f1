"""What benches share: CPU time of a command and all it starts, the machine in words, results as JSON."""

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def run_counted(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> float:
    """Run a command; CPU-seconds, user and system, of it and of all processes it started and waited for.

    Ends the bench with the command's last words if it fails.
    """
    before = children_seconds()
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return children_seconds() - before


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def machine() -> dict[str, object]:
    """The processor and how many of its cores this process may use."""
    names = [line.split(":")[1].strip() for line in cpu_lines() if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": names[0] if names else platform.processor() or platform.machine(), "cores": cores}


def cpu_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []  # not Linux


def versions(*packages: str) -> dict[str, str | None]:
    """Python's and the packages' versions; None for one that is not installed."""
    return {"python": platform.python_version(), **{package: version_of(package) for package in packages}}


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_result(name: str, result: Mapping[str, object]) -> Path:
    """Keep a bench's figures, with the command that made them."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    command = " ".join(["python", f"bench/{name}.py", *sys.argv[1:]])
    path.write_text(json.dumps({"command": command, **result}, indent=1) + "\n", encoding="utf-8")
    return path
