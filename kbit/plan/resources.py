"""What the job of a shard asks the scheduler for: a function of the cells still missing, so that none needs no GPU.

And of the place, and of what earlier studies measured; neither changes a shard, only what its job asks for.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import kbit
from kbit.plan.cost import IDLE, Cost, Work, add_up, job_cost, place
from kbit.plan.gpu_bench import GpuBench, read_gpu_bench
from kbit.plan.missing import FinishedCells, missing_cells
from kbit.plan.places import Resources, job_threads
from kbit.plan.plan import Plan
from kbit.plan.rates import Calibration, Rates, assumed_rates, benched_rates, measured_rates
from kbit.plan.shards import Shard
from kbit.spec.cell import Cell
from kbit.spec.hardware import Hardware
from kbit.spec.models import Model
from kbit.spec.placement import Placement
from kbit.store.paths import throughput_path
from kbit.store.throughput import ThroughputTable, read_throughput

SNAKEMAKE_MB = 400
"""The two Snakemakes around a job on a cluster (its batch script and its step): 171 and 170 MB were seen."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One shard: what is missing, what it costs, and what that is based on."""

    work: Work | None
    """None if nothing is missing."""
    cost: Cost
    rates: Rates | None


class Estimator:
    """Estimates the shards of one plan; each once, as it stands when it is first asked for."""

    def __init__(
        self, plan: Plan, hardware: Hardware, measured: ThroughputTable, bench: GpuBench | None = None
    ) -> None:
        self.plan = plan
        self.hardware = hardware
        self.measured = measured
        self.bench = bench
        self._finished = FinishedCells()
        self._estimates: dict[Path, Estimate] = {}

    @cached_property
    def calibration(self) -> Calibration:
        return Calibration(self.measured.rows, self.plan.study.models)

    def resources(self, shard: Shard) -> Resources:
        """Resources of a shard's job."""
        return self._ask(self.estimate(shard).cost)

    def single(self, cell: Cell, token_budget: int) -> Resources:
        """Resources of a job that evaluates one cell."""
        return self._ask(self._cost(cell.model, add_up([cell], token_budget))[0])

    def _ask(self, cost: Cost) -> Resources:
        return Resources(
            mem_mb=memory_mb(cost.mem_mb, self.hardware),
            runtime=cost.minutes,
            **gpu_resources(cost.gpus, self.hardware),
        )

    def estimate(self, shard: Shard) -> Estimate:
        """The cost of what the shard would still evaluate."""
        if shard.part not in self._estimates:
            self._estimates[shard.part] = self._estimate(shard)
        return self._estimates[shard.part]

    def _estimate(self, shard: Shard) -> Estimate:
        missing = set(missing_cells(shard, self._finished))
        if not missing:
            return Estimate(None, IDLE, None)
        work = add_up([cell for cell in shard.cells if cell.cell_id in missing], shard.token_budget, shard.calibrates)
        cost, rates = self._cost(shard.model, work)
        return Estimate(work, cost, rates)

    def _cost(self, model: Model, work: Work) -> tuple[Cost, Rates]:
        placement = place(work, self.hardware)
        rates = self.rates(model, work.dtype, work.token_budget, placement, job_threads(placement.gpus))
        return job_cost(work, self.hardware, rates), rates

    def rates(
        self, model: Model, dtype: str, token_budget: int, placement: Placement, threads: int, own: bool = True
    ) -> Rates:
        """Measured on this machine, else by the bench, else assumed.

        own: what was measured on this very model counts.
        """
        row = self.calibration.nearest(model, dtype, placement, threads, own)
        if row is not None:
            return measured_rates(row, token_budget)
        if self.bench is not None and placement.gpus and dtype != "float32":
            return benched_rates(model.parameters, token_budget, self.hardware, self.bench)
        return assumed_rates(dtype, token_budget, placement.gpus, self.hardware)


def memory_mb(needed: int, hardware: Hardware) -> int:
    """Memory to ask for. What needs all that a job should have leaves room (HOST_BYTES in kbit/spec/placement.py)."""
    most = int(1000 * hardware.host_memory_gb)
    return needed + SNAKEMAKE_MB if needed > most else min(needed + SNAKEMAKE_MB, most)


def gpu_resources(gpus: int, hardware: Hardware) -> dict[str, int | str]:
    """How a job asks for so many GPUs there."""
    if not gpus or hardware.gpu_request == "none":
        return {"gpu": gpus, "gpu_model": "", "gres": ""}
    if hardware.gpu_request == "gpus":
        return {"gpu": gpus, "gpu_model": hardware.gpu_model or "", "gres": ""}
    gres = ":".join(["gpu", *filter(None, [hardware.gpu_model]), str(gpus)])
    return {"gpu": 0, "gpu_model": "", "gres": gres}


def estimate_study(plan: Plan, hardware: Hardware, measured: ThroughputTable | None = None) -> Estimator:
    """The estimator of a plan, with what was measured in this results folder and by the bench of this checkout."""
    if measured is None:
        measured = read_throughput(throughput_path())
    return Estimator(plan, hardware, measured, read_gpu_bench(Path(kbit.__file__).parents[1]))
