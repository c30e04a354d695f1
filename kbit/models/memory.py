"""How much memory this job may use: of the GPUs it sees, and of the node."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from kbit.models.control_groups import memory_limits

FREE_SHARE = 0.95
"""Of a GPU's free memory, what its allocator can give out in the sizes that are asked for."""


def device_memory_bytes() -> float:
    """Usable memory of each visible GPU: of the one with the least."""
    return FREE_SHARE * min(torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count()))


def host_memory_bytes(system: Path = Path("/")) -> float:
    """What is free on the node, or this job's limit if that is less: of its cgroup, or as Slurm states it.

    system: the root of /proc and /sys.
    """
    return min([free_bytes(system), *memory_limits(system), *slurm_limits()])


def free_bytes(system: Path) -> float:
    """Without swapping. Where the system does not say (macOS): all there is."""
    try:
        lines = (system / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    values = dict(line.split(":", 1) for line in lines)
    return 1024.0 * int(values["MemAvailable"].split()[0])


def slurm_limits() -> Iterator[float]:
    """Memory of the job on this node, which not every cluster enforces by cgroups; 0 stands for all of it."""
    if (megabytes := os.environ.get("SLURM_MEM_PER_NODE", "0")) != "0":
        yield 2**20 * float(megabytes)
