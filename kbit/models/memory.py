"""How much memory this job may use: of the GPUs it sees, and of the node."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

FREE_SHARE = 0.95
"""Of a GPU's free memory, what its allocator can give out in the sizes that are asked for."""
CGROUP_FILES = {"": "memory.max", "memory": "memory/memory.limit_in_bytes"}
"""Controllers of a line of /proc/self/cgroup (none in version 2) -> the file of their limit, below /sys/fs/cgroup."""


def device_memory_bytes() -> float:
    """Usable memory of each visible GPU: of the one with the least."""
    return FREE_SHARE * min(torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count()))


def host_memory_bytes(system: Path = Path("/")) -> float:
    """What is free on the node, or this job's limit if that is less: of its cgroup, or as Slurm states it.

    system: the root of /proc and /sys.
    """
    return min([free_bytes(system), *cgroup_limits(system), *slurm_limits()])


def free_bytes(system: Path) -> float:
    """Without swapping. Where the system does not say (macOS): all there is."""
    try:
        lines = (system / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    values = dict(line.split(":", 1) for line in lines)
    return 1024.0 * int(values["MemAvailable"].split()[0])


def cgroup_limits(system: Path) -> Iterator[float]:
    """The limits of this process's cgroup and of those around it, which hold as well."""
    try:
        lines = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in CGROUP_FILES:
            continue
        file = Path(CGROUP_FILES[controllers])
        inner = Path(path.lstrip("/"))
        for folder in (inner, *inner.parents):
            yield from read_limit(system / "sys/fs/cgroup" / file.parent / folder / file.name)


def read_limit(file: Path) -> Iterator[float]:
    """None where there is no such file (containers show a part of the tree), or it says max."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return
    if text != "max":
        yield float(text)


def slurm_limits() -> Iterator[float]:
    """Memory of the job on this node, which not every cluster enforces by cgroups; 0 stands for all of it."""
    if (megabytes := os.environ.get("SLURM_MEM_PER_NODE", "0")) != "0":
        yield 2**20 * float(megabytes)
