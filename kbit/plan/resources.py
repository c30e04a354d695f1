"""What the job of a shard asks the scheduler for: a function of the cells still missing, so that none needs no GPU."""

from dataclasses import dataclass
from functools import cache

from kbit.plan.cost import Cost, cells_cost
from kbit.plan.missing import missing_cells
from kbit.plan.shards import Shard

GPU_JOB_THREADS = 4
"""Reading weights and preparing batches beside a GPU."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Needs of one job; places (partition, account, GPU model) stand in the profile."""

    threads: int
    gpus: int
    mem_mb: int
    minutes: int


@cache
def shard_resources(shard: Shard) -> Resources:
    """Resources of a shard as it stands now."""
    cost = missing_cost(shard)
    return Resources(GPU_JOB_THREADS if cost.gpus else 1, cost.gpus, cost.mem_mb, cost.minutes)


def missing_cost(shard: Shard) -> Cost:
    """Cost of what the shard would still evaluate."""
    missing = set(missing_cells(shard))
    return cells_cost([cell for cell in shard.cells if cell.cell_id in missing])


def expected_gpu_hours(shard: Shard) -> float:
    """Expected GPU-hours of the cells still missing."""
    return missing_cost(shard).gpu_hours
