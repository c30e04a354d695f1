"""The one place that counts bits. Three counts, because the paper does not say which parameters it multiplies.

`bits_per_param` is the paper's count (Dettmers & Zettlemoyer 2023, sections 2.3 and 5.2), `body_bits` what the
quantized linear layers store, `total_bits` what the whole model stores: embeddings, head, norms, biases at 16 bits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from kbit.spec import members
from kbit.spec.errors import UserError
from kbit.spec.quant import QuantSpec

PLAIN_BITS = 16
"""Bits of a parameter that is not quantized, of a level of a stored codebook, and of a mean or minimum."""
SECOND_SCALE_BITS = 32
"""Bits of the scale that the scales of a superblock share."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one model with one quantization spec stores."""

    bits_per_param: float
    """Stored bits per quantized weight as the paper counts: without quantile's codebook, with tables it lacks."""
    body_bits: int
    """Bits of the quantized linears: codes, scales, minimums, codebooks, kept input dimensions."""
    total_bits: int
    """Bits of everything stored, tied tensors once."""
    quantized_parameters: int
    """Weights of the quantized linears."""
    parameters: int
    """All parameters, tied tensors once."""


def bits_per_param(spec: QuantSpec) -> float:
    """k + s / B + p (16 - k), s the bits a block stores: 16 for the paper's absmax; p the share, not a rounded number.

    Data types with a minimum and blocks with a mean, which the paper leaves open, store 16 more. For blocks of a row or
    a whole tensor the share of the scale depends on the shapes; the paper counts it as nothing, and so does this, as it
    does what is stored once per tensor. `count_footprint` knows the shapes.
    """
    if spec.data_type == "none":
        return float(PLAIN_BITS)
    blocks_per_weight = 1 / spec.block_size if isinstance(spec.block_size, int) else 0.0
    return add_blocks(spec, blocks_per_weight)


def add_blocks(spec: QuantSpec, blocks_per_weight: float) -> float:
    """Bits per quantized weight, given for how many blocks each weight pays."""
    scale_format = members.SCALE_FORMATS[spec.scale_format]
    block_bits = scale_format.scale_bits + offset_bits(spec)
    if scale_format.superblock:
        block_bits += SECOND_SCALE_BITS / scale_format.superblock
    return spec.bits + block_bits * blocks_per_weight + spec.outlier_fraction * (PLAIN_BITS - spec.bits)


def offset_bits(spec: QuantSpec) -> int:
    """Bits of what a block stores beside its scale: a minimum, a mean."""
    has_minimum = members.DATA_TYPES[spec.data_type].scaling == "range"
    return PLAIN_BITS * (has_minimum + (spec.centered == "block"))


def count_footprint(spec: QuantSpec, linears: Iterable[tuple[int, int]], other_parameters: int) -> Footprint:
    """Count one model exactly.

    linears: (out, in) of every quantized linear's weight; other_parameters: everything else that is stored, tied
    tensors once. UserError for an option whose stored bits this release cannot count.
    """
    if spec.unbuilt:
        raise UserError(f"this release cannot count {', '.join(spec.unbuilt)} (quantization spec {spec.slug})")
    shapes = list(linears)
    weights = sum(out * inputs for out, inputs in shapes)
    body_bits = sum(count_code_bits(spec, out, inputs) + count_extra_bits(spec, out, inputs) for out, inputs in shapes)
    return Footprint(
        bits_per_param=paper_count(spec, shapes),
        body_bits=body_bits,
        total_bits=body_bits + other_parameters * PLAIN_BITS,
        quantized_parameters=weights,
        parameters=weights + other_parameters,
    )


def count_code_bits(spec: QuantSpec, out: int, inputs: int) -> int:
    """Codes of one weight [out, in]; where input dimensions are kept, these at 16 bits, and one bit each says which."""
    kept = count_kept(spec, inputs)
    return out * ((inputs - kept) * spec.bits + kept * PLAIN_BITS) + (inputs if kept else 0)


def count_kept(spec: QuantSpec, inputs: int) -> int:
    """How many of a weight's input dimensions stay at 16 bits: the share p of them as it is written, half up."""
    if spec.data_type == "none":
        return 0
    return int(Fraction(str(spec.outlier_fraction)) * inputs + Fraction(1, 2))


def count_extra_bits(spec: QuantSpec, out: int, inputs: int) -> int:
    """What one weight [out, in] stores beside its codes: scales, offsets, what is stored once, its table of levels."""
    blocks = count_blocks(spec, out, inputs)
    scale_format = members.SCALE_FORMATS[spec.scale_format]
    bits = blocks * (scale_format.scale_bits + offset_bits(spec)) + count_table_bits(spec, out)
    if scale_format.superblock:
        bits += -(-blocks // scale_format.superblock) * SECOND_SCALE_BITS
    once = scale_format.tensor_bits + (PLAIN_BITS if spec.centered == "tensor" else 0)
    return bits + (once if blocks else 0)


def count_table_bits(spec: QuantSpec, out: int) -> int:
    """Bits of the levels that one weight of so many rows stores, where they are learned from it."""
    tables = {"": 0, "tensor": 1, "row": out}[members.DATA_TYPES[spec.data_type].table]
    return tables * 2**spec.bits * PLAIN_BITS


def count_blocks(spec: QuantSpec, out: int, inputs: int) -> int:
    """Blocks of one weight [out, in]; a short last one is one too."""
    if spec.data_type == "none" or not out * inputs:
        return 0
    match spec.block_size:
        case "row":
            return out
        case "tensor":
            return 1
        case block_size:
            return -(-out * inputs // block_size)


def paper_count(spec: QuantSpec, shapes: list[tuple[int, int]]) -> float:
    """k + 16 / B; a row or tensor pays for the blocks it has, and data types the paper lacks for their tables."""
    weights = sum(out * inputs for out, inputs in shapes)
    if spec.data_type == "none" or not weights:
        return bits_per_param(spec)
    tables = 0
    if members.DATA_TYPES[spec.data_type].table_in_paper_count:
        tables = sum(count_table_bits(spec, out) for out, _ in shapes)
    if isinstance(spec.block_size, int):
        return bits_per_param(spec) + tables / weights
    return add_blocks(spec, sum(count_blocks(spec, out, inputs) for out, inputs in shapes) / weights) + tables / weights
