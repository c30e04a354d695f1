"""The one place that counts bits. Three counts, because the paper does not say which parameters it multiplies.

`bits_per_param` is the paper's count (Dettmers & Zettlemoyer 2023, sections 2.3 and 5.2), `body_bits` what the
quantized linear layers store, `total_bits` what the whole model stores: embeddings, head, norms, biases at 16 bits.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kbit.spec.errors import UserError
from kbit.spec.quant import QuantSpec

PLAIN_BITS = 16
"""Bits of a parameter that is not quantized, and of a level of a stored codebook."""
ABSMAX_BITS = {"16-bit": 16}
"""Bits of one stored absmax, by scale format."""
STORES_CODEBOOK = ("quantile",)
"""Data types whose codebook depends on the weights, so that every tensor stores its own."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one model with one quantization spec stores."""

    bits_per_param: float
    """Stored bits per quantized weight as the paper counts; a codebook is left out."""
    body_bits: int
    """Bits of the quantized linears: codes, scales, codebooks."""
    total_bits: int
    """Bits of everything stored, tied tensors once."""
    quantized_parameters: int
    """Weights of the quantized linears."""
    parameters: int
    """All parameters, tied tensors once."""


def bits_per_param(spec: QuantSpec) -> float:
    """k + 16 / B + p (16 - k), and 16 / B once more for a mean per block, which the paper leaves open.

    For blocks of a row or a whole tensor the share of the absmax depends on the shapes; the paper counts it as nothing,
    and so does this. `count_footprint` knows the shapes.
    """
    if spec.data_type == "none":
        return float(PLAIN_BITS)
    scales_per_weight = 1 / spec.block_size if isinstance(spec.block_size, int) else 0.0
    return add_scales(spec, scales_per_weight)


def add_scales(spec: QuantSpec, scales_per_weight: float) -> float:
    """Bits per quantized weight, given how many scales each weight pays for."""
    scale_bits = ABSMAX_BITS[spec.scale_format] + (PLAIN_BITS if spec.centered == "block" else 0)
    return spec.bits + scale_bits * scales_per_weight + spec.outlier_fraction * (PLAIN_BITS - spec.bits)


def count_footprint(spec: QuantSpec, linears: Iterable[tuple[int, int]], other_parameters: int) -> Footprint:
    """Count one model exactly.

    linears: (out, in) of every quantized linear's weight; other_parameters: everything else that is stored, tied
    tensors once. UserError for an option whose stored bits this release cannot count.
    """
    if spec.unbuilt:
        raise UserError(f"this release cannot count {', '.join(spec.unbuilt)} (quantization spec {spec.slug})")
    shapes = list(linears)
    weights = sum(out * inputs for out, inputs in shapes)
    scales = sum(count_scales(spec, out, inputs) for out, inputs in shapes)
    codebooks = len(shapes) * 2**spec.bits if spec.data_type in STORES_CODEBOOK else 0
    body_bits = weights * spec.bits + scales * ABSMAX_BITS[spec.scale_format] + codebooks * PLAIN_BITS
    return Footprint(
        bits_per_param=paper_count(spec, weights, scales),
        body_bits=body_bits,
        total_bits=body_bits + other_parameters * PLAIN_BITS,
        quantized_parameters=weights,
        parameters=weights + other_parameters,
    )


def count_scales(spec: QuantSpec, out: int, inputs: int) -> int:
    """Stored absmax values of one weight [out, in]; a short last block has one too."""
    if spec.data_type == "none" or not out * inputs:
        return 0
    match spec.block_size:
        case "row":
            return out
        case "tensor":
            return 1
        case block_size:
            return -(-out * inputs // block_size)


def paper_count(spec: QuantSpec, weights: int, scales: int) -> float:
    """k + 16 / B; a row or tensor pays for the scales it has."""
    if spec.data_type == "none" or isinstance(spec.block_size, int) or not weights:
        return bits_per_param(spec)
    return add_scales(spec, scales / weights)
