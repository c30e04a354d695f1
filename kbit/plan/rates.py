"""How fast a model will be scored: measured on this machine, else measured by the bench, else assumed.

In this order: cells of earlier studies in results/throughput.json (of the nearest model, by the logarithm of its size);
the utilisation that bench/evaluate_gpu.py left in bench/results/; half of the card's nominal rate.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kbit.plan.gpu_bench import GpuBench
from kbit.spec.hardware import Hardware
from kbit.spec.models import Model
from kbit.spec.placement import Placement
from kbit.store.throughput import Throughput

UTILISATION = 0.5
"""Assumed, of the nominal dense 16-bit rate, until cells or bench/evaluate_gpu.py say better. No card reaches its
nominal rate: large products alone run at some two thirds to four fifths of it."""
FLOAT32_SHARE = 1 / 16
"""Rate of float32 without tensor cores: 67 of an H100's 989 TFLOP/s, 19.5 of an A100's 312."""
BATCH_SECONDS = 0.03
"""Least time of a batch on a GPU: launching the kernels of 24 to 48 layers, and one synchronization."""
GPU_QUANTIZE_SECONDS = 1e-10
"""Per parameter and spec. Plain torch moves some 60 bytes per weight, 0.03 ns at 2 TB/s; `quantile` sorts, ten times as
much. A fused kernel needs 0.0015 ns."""
CPU_FLOPS = 20e9
CPU_CELL_SECONDS = 0.3
"""Of a cell on a CPU, quantizing included: what embedded models are bound by."""
OTHER_ARCHITECTURE = math.log(4)
"""A model of another architecture is as far as one of four times the size."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Speed of one model on one kind of machine."""

    flop_per_second: float
    """Sustained in scoring."""
    token_seconds: float
    """Least time per token: a small model waits for its kernels to be launched."""
    cell_seconds: float
    """Fixed, per cell."""
    quantize_seconds: float
    """Per quantized parameter and spec."""
    source: str
    """Where this comes from, in words."""

    def scoring_seconds(self, tokens: float, flop: float, cells: int) -> float:
        return max(flop / self.flop_per_second, tokens * self.token_seconds) + cells * self.cell_seconds


def assumed_rates(dtype: str, token_budget: int, gpus: int, hardware: Hardware) -> Rates:
    """First-run defaults, from the card's nominal rate."""
    if not gpus:
        return Rates(CPU_FLOPS, 0, CPU_CELL_SECONDS, 0, f"assumed {CPU_FLOPS / 1e9:g} GFLOP/s of a CPU thread")
    flops = UTILISATION * nominal_flops(dtype, hardware)
    words = f"assumed {UTILISATION:.0%} of {nominal_flops(dtype, hardware) / 1e12:,.4g} TFLOP/s ({dtype})"
    return Rates(flops, BATCH_SECONDS / token_budget, 0, GPU_QUANTIZE_SECONDS, words)


def nominal_flops(dtype: str, hardware: Hardware) -> float:
    return 1e12 * hardware.gpu_tflops * (FLOAT32_SHARE if dtype == "float32" else 1)


def benched_rates(parameters: int, token_budget: int, hardware: Hardware, bench: GpuBench) -> Rates:
    """From the utilisation of the nearest size that the bench measured; 16-bit dtypes."""
    measured = bench.nearest(parameters)
    flops = measured.utilisation * bench.matmul_tflops * 1e12 * hardware.gpu_tflops / bench.nominal_tflops
    words = (
        f"measured {measured.utilisation:.0%} of {bench.matmul_tflops:,.4g} TFLOP/s at "
        f"{measured.parameters / 1e9:.3g} billion parameters on {bench.device} ({bench.path})"
    )
    return Rates(flops, BATCH_SECONDS / token_budget, 0, GPU_QUANTIZE_SECONDS, words)


def measured_rates(row: Throughput, token_budget: int) -> Rates:
    """As cells of a model were scored, scaled to another by operations.

    A smaller model does not get faster for ever: it takes at least what launching its kernels takes, or, where that is
    less, what the measured one took.
    """
    token_seconds = 1 / row.tokens_per_second
    least = min(token_seconds, BATCH_SECONDS / token_budget) if row.gpus and not row.cell_seconds else 0
    quantize = GPU_QUANTIZE_SECONDS if row.quantize_seconds is None and row.gpus else row.quantize_seconds or 0
    size = f"{row.parameters / 1e6:,.4g} million parameters"
    words = f"measured on {row.device}: {row.architecture} of {size}, {row.cells:,} cells"
    return Rates(row.flop_per_second, least, row.cell_seconds, quantize, words)


class Calibration:
    """What was measured, asked for a model."""

    def __init__(self, rows: Iterable[Throughput], models: Iterable[Model]) -> None:
        self.rows = tuple(rows)
        self._architectures = architectures(self.rows, models)

    def nearest(
        self, model: Model, dtype: str, placement: Placement, threads: int, own: bool = True
    ) -> Throughput | None:
        """The row of the nearest size, on the same class of device (GPU or CPU) and in the same dtype.

        A streamed model is compared to streamed ones alone. Threads count on a CPU. own: rows that were measured on
        this very model count.
        """
        architecture = self._architectures.get(model.model_id)
        rows = [row for row in self.rows if own or model.model_id not in row.model_ids]

        def distance(row: Throughput) -> tuple:
            size = abs(math.log(model.parameters / row.parameters))
            differs = architecture is not None and row.architecture != architecture
            other_threads = not row.gpus and row.threads != threads
            return other_threads, size + differs * OTHER_ARCHITECTURE, -row.cells, row.key

        return min(filter(comparable(dtype, placement), rows), key=distance, default=None)


def comparable(dtype: str, placement: Placement) -> Callable[[Throughput], bool]:
    def is_comparable(row: Throughput) -> bool:
        same_device = (row.gpus > 0) == (placement.gpus > 0)
        same_way = (row.placement == "streamed") == (placement.kind == "streamed")
        return same_device and same_way and row.dtype == dtype

    return is_comparable


def architectures(rows: Iterable[Throughput], models: Iterable[Model]) -> Mapping[str, str]:
    """Model id -> architecture, as rows tell it: of the models measured, and of their families' other models."""
    known = {model_id: row.architecture for row in rows for model_id in row.model_ids}
    models = list(models)
    families = {model.family: known[model.model_id] for model in models if model.model_id in known}
    return {model.model_id: families[model.family] for model in models if model.family in families} | known
