"""Where a model's weights lie while its cells are evaluated: a function of sizes alone, so that the plan asks for what
the job will use. The plan passes the memory of the cards it was told of, the job that of the card it finds.

Every spec starts from the pristine values of the linear layers, and both they and the quantized ones must be somewhere:

* `twin`: both on the device; going from spec to spec moves nothing.
* `host`: the device holds the weights once; the pristine linears wait in pinned host memory and cross over for each
  spec (60 GB in 3 s at 20 GB/s, against minutes of scoring).
* `mapped`: host memory is too small for that as well; they are read again from the model's files, memory-mapped.
* `streamed`: the devices cannot hold the weights even once. The layers pass through one device in turn, each quantized
  when it arrives, over the hidden states of all items.

Several GPUs hold more, but their layers run one after the other: n GPUs cost n times the GPU-hours of one and save
nothing but transfer. So no more are taken than hold the weights once, and one card alone is what is allowed by default.
A streamed model needs its weights moved once per spec and not once per batch, which is why it is cheaper than several
cards that wait for one another.
"""

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["twin", "host", "mapped", "streamed"]

BATCH_BYTES = 6_000_000_000
"""Free on every GPU beside the weights: activations, scored positions' logits, and what quantizing one matrix needs."""
MOMENT_VALUES = 19
"""Of a layer whose linears have inputs of 1, 1, 1 and 4 widths, in squares of the width: values in the second moments
of them all, which exist at one time while a calibrated spec is solved for."""
SOLVING_BYTES = 16 * (8 + 4 + 4)
"""In squares of the width, beside those, for the linear of 4 widths: its matrix in float64, factorized where it lies;
in fp32 what is made of the factor, and a copy of the moments where inputs are kept or rotated."""
ASPECT = 256
"""Width over layers at most: 205 in BLOOM-176B, the widest of its depth among the paper's models."""
HOST_BYTES = 4_000_000_000
"""Free in host memory beside the pristine weights: the interpreter, torch, lm-eval, requests and rows."""
HIDDEN_BYTES = 32_000_000_000
"""Hidden states of a streamed model that are kept in host memory where nothing is known of how much there is."""

BASELINE_BYTES = 2**29
"""Last hidden states of the 16-bit run that are kept in memory for each task it is compared on; more go to a file."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the weights lie, and on how many GPUs."""

    kind: Kind
    gpus: int
    """0 on a CPU, where the device's memory is the host's: always a twin."""


CPU = Placement("twin", 0)


def choose_placement(
    weight_bytes: int,
    linear_bytes: int,
    gpu_memory_bytes: float,
    max_gpus: int,
    host_memory_bytes: float | None = None,
    batch_bytes: float = BATCH_BYTES,
) -> Placement:
    """The cheapest placement that fits.

    weight_bytes: all weights in the compute dtype, tied ones once. linear_bytes: those of the quantized linears among
    them. gpu_memory_bytes: usable memory of one GPU. max_gpus: 0 is the CPU. host_memory_bytes: what this job may use;
    None: as much as it takes. batch_bytes: kept free on every GPU. ValueError if linear_bytes exceeds weight_bytes.
    """
    if linear_bytes > weight_bytes:
        raise ValueError(f"{linear_bytes} bytes of linears in {weight_bytes} bytes of weights")
    if max_gpus == 0:
        return CPU
    room = gpu_memory_bytes - batch_bytes
    gpus = max(1, math.ceil(weight_bytes / room)) if room > 0 else max_gpus + 1
    if gpus > max_gpus:
        return Placement("streamed", 1)
    if weight_bytes + linear_bytes <= gpus * room:
        return Placement("twin", gpus)
    fits_host = host_memory_bytes is None or linear_bytes + HOST_BYTES <= host_memory_bytes
    return Placement("host" if fits_host else "mapped", gpus)


def width_bound(linears: int) -> float:
    """An upper bound of the hidden size, which no data sheet states, from the weights in all linears of the layers.

    A transformer's layer has about 12 width^2 weights in its linears, and no model of the paper is wider than 256 times
    its layers: linears = 12 width^2 layers >= 12 width^3 / 256.
    """
    return (ASPECT * linears / 12) ** (1 / 3)


def solving_bytes(width: float) -> float:
    """What a calibrated spec needs on the device beside weights and batches: the second moments of a layer, and what
    solving its widest linear takes."""
    return (4 * MOMENT_VALUES + SOLVING_BYTES) * width**2


def hidden_room(host_memory_bytes: float, block_bytes: float) -> float:
    """Bytes of hidden states that a streamed model keeps in host memory; if there are more, all go to a file.

    What the job may use (host_memory_bytes), less the process and two blocks on their way to the device. 2.5 million
    tokens of BLOOM-176B are 72 GB: room for them is worth more than room for the weights, as they move twice per layer
    and the weights once per spec.
    """
    return max(0.0, host_memory_bytes - HOST_BYTES - 2 * block_bytes)
