"""One weight matrix through one quantization spec."""

from dataclasses import replace

import torch
from torch import Tensor

from kbit.quant.codebooks import CODEBOOKS
from kbit.quant.kept import choose_kept, decouple_kept, fill_kept
from kbit.quant.rotations import ROTATIONS
from kbit.quant.scales import Scales, check_fits
from kbit.quant.solvers import SOLVERS
from kbit.quant.statistics import NO_STATISTICS, Statistics
from kbit.spec.errors import UnsupportedError, UserError
from kbit.spec.members import DATA_TYPES, DEFAULT_ROTATION
from kbit.spec.quant import QuantSpec


@torch.no_grad()
def quantize_weight(weight: Tensor, spec: QuantSpec, name: str, statistics: Statistics = NO_STATISTICS) -> Tensor:
    """Quantize and dequantize: the weight as a model with `spec` computes with it.

    weight [out, in] fp32, fp16 or bf16 -> a new contiguous tensor of its shape and dtype; the weight itself for the
    16-bit control. statistics: what `spec.needed_statistics` names. UserError, naming the tensor `name`: a NaN or
    infinite weight, an option that this release cannot evaluate. UnsupportedError, naming it too: an absmax that its
    format cannot hold, a result that the dtype cannot.
    """
    if spec.unbuilt:
        raise UserError(f"{name}: this release cannot evaluate {', '.join(spec.unbuilt)} (spec {spec.slug})")
    if spec.data_type == "none" or not weight.numel():
        return weight
    largest = check_finite(weight, name)
    if (is_kept := choose_kept(weight, spec, statistics)) is not None:
        return quantize_others(weight, spec, name, is_kept, statistics)
    if spec.rotation == DEFAULT_ROTATION:
        return quantize_finite(weight, spec, name, largest, statistics)
    return quantize_rotated(weight, spec, name, largest, statistics)


def quantize_others(weight: Tensor, spec: QuantSpec, name: str, is_kept: Tensor, statistics: Statistics) -> Tensor:
    """Input dimensions that are not kept, quantized as if the kept ones, bool [in], were not there; these as they are.

    A solver sees them filled with means of the others, see `fill_kept`, and what it makes of these is thrown away.
    """
    others = fill_kept(weight, is_kept, spec)
    statistics = decouple_kept(statistics, is_kept)
    result = quantize_finite(others, spec, name, others.abs().max(), statistics, is_kept)
    return torch.where(is_kept, weight, result)


def quantize_rotated(weight: Tensor, spec: QuantSpec, name: str, largest: Tensor, statistics: Statistics) -> Tensor:
    """Rotated in fp32, quantized, rotated back and rounded once. Its scales are those of an fp32 weight."""
    rotate = ROTATIONS[spec.rotation]
    rotated = rotate(weight.float())
    if not torch.isfinite(rotated).all():
        raise UnsupportedError(f"{name}: its largest weight has magnitude {largest.item():g}; rotated, it leaves fp32")
    quantized = quantize_finite(rotated, spec, name, rotated.abs().max(), statistics.rotated(rotate))
    result = rotate(quantized).to(weight.dtype)
    check_result(result, largest, name)
    return result


def quantize_finite(
    weight: Tensor,
    spec: QuantSpec,
    name: str,
    largest: Tensor,
    statistics: Statistics,
    is_kept: Tensor | None = None,
) -> Tensor:
    """As `quantize_weight`, without a rotation. largest: the weight's largest magnitude, a scalar.

    is_kept: bool [in], input dimensions that no levels are learned from.
    """
    scales = Scales(weight, spec, name)
    if scales.absmax_dtype is not None:
        check_fits(largest, scales.absmax_dtype, name)
    elif DATA_TYPES[spec.data_type].table:
        # Levels are learned by the scales, where nobody knows the tensor's name: what cannot be stored is found here.
        check_fits(scales.scale, torch.float32, name)
    codebook = find_codebook(weight, spec, is_kept)
    scales = replace(scales, largest_level=largest_level(spec, codebook))
    # A scale is rounded up to the double at most. Asked before the solver, for which a GPU need not wait then.
    may_overflow = bool(largest > torch.finfo(weight.dtype).max / 2)
    result = SOLVERS[spec.solver](weight, codebook, scales, statistics)
    if may_overflow:
        check_result(result, largest, name)
    return result


def find_codebook(weight: Tensor, spec: QuantSpec, is_kept: Tensor | None) -> Tensor:
    codebook = CODEBOOKS[spec.data_type]
    if is_kept is not None and DATA_TYPES[spec.data_type].table:
        return codebook(spec, weight, is_kept)
    return codebook(spec, weight)


def largest_level(spec: QuantSpec, codebook: Tensor) -> float:
    """What the extreme of a block is mapped to: 1, or the largest element of a standard that scales its own way."""
    return codebook[..., -1].max().item() if spec.has_own_scale_format else 1.0


def check_finite(weight: Tensor, name: str) -> Tensor:
    """The largest magnitude, a scalar of the weight's dtype. UserError: the model is broken, no spec could take it."""
    lowest, highest = torch.aminmax(weight)
    largest = torch.maximum(-lowest, highest)
    if not torch.isfinite(largest):
        n_bad = weight.numel() - int(torch.isfinite(weight).sum())
        raise UserError(f"{name}: {n_bad} of {weight.numel()} weights are NaN or infinite, which no codebook holds")
    return largest


def check_result(result: Tensor, largest: Tensor, name: str) -> None:
    """UnsupportedError, naming the tensor: a scale that was rounded up took a weight beyond its dtype."""
    if not torch.isfinite(result).all():
        raise UnsupportedError(
            f"{name}: its largest weight has magnitude {largest.item():g} and, with its scale as it is stored, would "
            f"leave {str(result.dtype).removeprefix('torch.')}, which ends at {torch.finfo(result.dtype).max:g}"
        )
