"""The cost model: minutes, host memory and GPUs of a shard, from its model's size and the cells still missing.

It says what to ask a scheduler for, so it errs upwards. Its assumptions, per data-center GPU of the A100 / H100 class:

* Scoring dominates. A forward pass is 2 floating-point operations per parameter and token, done at 40 % of an A100's
  312 TFLOP/s of dense fp16 (an H100 is two to three times faster); float32 runs at an eighth of that. Each batch costs
  30 ms besides, which is what small models are bound by.
* Layers that are spread over several GPUs run one after the other: more GPUs give memory, not speed.
* Quantizing is bound by memory: 10 ms for 7 billion weights in one fused pass, here taken as ten passes (plain torch).
* GPUs hold the weights twice, pristine and quantized (kbit/models/quantized.py), and the tensors of a batch. The host
  holds what it reads once, or on a CPU both.
* Models under 20 million parameters (the embedded ones) are scored on the CPU, at 20 GFLOP/s and 0.3 s per cell.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kbit.spec.cell import Cell

CPU_PARAMETERS = 20_000_000
"""Below, a GPU would wait for its kernels to be launched."""

COPIES = 2
"""Of the weights, while a spec is applied."""
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
GPU_FLOPS = {"float32": 0.125 * 125e12, "float16": 125e12, "bfloat16": 125e12}
CPU_FLOPS = 20e9
BATCH_SECONDS = 0.03
BATCH_TOKENS = 4096
CPU_CELL_SECONDS = 0.3
QUANTIZE_SECONDS = 10 * 0.01 / 7e9
"""Per parameter."""
GPU_START_SECONDS = 60
CPU_START_SECONDS = 10
READ_BYTES_PER_SECOND = 0.5e9
"""A shared file system with many readers."""
GPU_MEMORY_BYTES = 72e9
"""Of a card of 80 GB, after the CUDA context."""
GPU_BATCH_BYTES = 6e9
"""Activations, and logits in fp32: 8192 tokens of a 250,880-word vocabulary are 8 GB whole, a part of it at a time."""
HOST_MB = 2000
"""The interpreter, torch and lm-eval (about 1 GB), requests and rows."""
MARGIN = 2.0
"""A job asks for this many times the expected minutes: one that is cut off costs a start and the cell in flight."""
LEAST_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """What a shard asks for."""

    minutes: int
    """Wall time to ask for; twice what is expected."""
    mem_mb: int
    """Host memory."""
    gpus: int
    gpu_hours: float
    """Expected GPU-hours, without margin; 0 on a CPU."""


IDLE = Cost(minutes=LEAST_MINUTES, mem_mb=HOST_MB, gpus=0, gpu_hours=0.0)
"""Nothing is missing: the job only writes its part from the journal."""


def shard_cost(parameters: int, dtype: str, cell_tokens: Iterable[int], n_specs: int) -> Cost:
    """Cost of the cells still missing from a shard.

    parameters: of the model, tied tensors once. dtype: compute dtype. cell_tokens: tokens to score, one entry per
    missing cell. n_specs: how many quantization specs these cells have (the model is quantized once for each).
    """
    tokens = list(cell_tokens)
    if not tokens:
        return IDLE
    gpus = gpus_needed(parameters, dtype)
    seconds = gpu_seconds(parameters, dtype, tokens, n_specs) if gpus else cpu_seconds(parameters, tokens)
    return Cost(
        minutes=max(LEAST_MINUTES, math.ceil(MARGIN * seconds / 60)),
        mem_mb=HOST_MB + math.ceil((1 if gpus else COPIES) * BYTES[dtype] * parameters / 1e6),
        gpus=gpus,
        gpu_hours=gpus * seconds / 3600,
    )


def cells_cost(missing: Sequence[Cell]) -> Cost:
    """Cost of missing cells of one model."""
    if not missing:
        return IDLE
    tokens = [cell.task.items * cell.task.entry.tokens_per_item for cell in missing]
    return shard_cost(missing[0].model.parameters, missing[0].dtype, tokens, len({cell.spec for cell in missing}))


def gpus_needed(parameters: int, dtype: str) -> int:
    """GPUs that hold both copies of the weights; none for a model small enough for the CPU."""
    if parameters < CPU_PARAMETERS:
        return 0
    return math.ceil((COPIES * BYTES[dtype] * parameters + GPU_BATCH_BYTES) / GPU_MEMORY_BYTES)


def gpu_seconds(parameters: int, dtype: str, tokens: list[int], n_specs: int) -> float:
    start = GPU_START_SECONDS + BYTES[dtype] * parameters / READ_BYTES_PER_SECOND
    batches = sum(math.ceil(count / BATCH_TOKENS) for count in tokens)
    scoring = 2 * parameters * sum(tokens) / GPU_FLOPS[dtype] + batches * BATCH_SECONDS
    return start + n_specs * parameters * QUANTIZE_SECONDS + scoring


def cpu_seconds(parameters: int, tokens: list[int]) -> float:
    return CPU_START_SECONDS + len(tokens) * CPU_CELL_SECONDS + 2 * parameters * sum(tokens) / CPU_FLOPS
