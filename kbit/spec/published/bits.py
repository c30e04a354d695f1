"""How many bits a published model stores: as its table says, or counted from its parameters.

A publication seldom says what a minimum, a zero point or a table of levels costs, so the count is the paper's: k bits a
weight, and 16 a block (`kbit.spec.footprint.bits_per_param`).
"""

from dataclasses import dataclass

from kbit.spec.footprint import PLAIN_BITS
from kbit.spec.published.source import PublishedModel


@dataclass(frozen=True, slots=True)
class PublishedBits:
    """The three counts of `kbit.spec.footprint.Footprint`."""

    bits_per_param: float
    body_bits: int | None
    """None where only the size of the whole file is known."""
    total_bits: int


def count_bits(model: PublishedModel, bits: int, block_size: str | None) -> PublishedBits:
    """Weights that are quantized at k + 16/B bits, all others at 16."""
    weights = model.quantized_parameters or model.parameters
    blocks = 0.0
    if block_size is not None and block_size.isdecimal():
        blocks = weights / int(block_size)
    elif block_size == "row":
        blocks = float(model.quantized_rows or 0)
    body = round(weights * bits + blocks * PLAIN_BITS)
    return PublishedBits(body / weights, body, body + (model.parameters - weights) * PLAIN_BITS)


def state_bits(model: PublishedModel, total_bits: int) -> PublishedBits:
    """The size of the file, spread over all parameters: embeddings are quantized too, or nobody says otherwise."""
    return PublishedBits(total_bits / model.parameters, None, total_bits)
