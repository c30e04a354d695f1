"""One weight matrix through one quantization spec."""

import torch
from torch import Tensor

from kbit.quant.codebooks import CODEBOOKS
from kbit.quant.scales import SCALE_FORMATS
from kbit.quant.solvers import SOLVERS
from kbit.spec.errors import UnsupportedError, UserError
from kbit.spec.quant import QuantSpec


@torch.no_grad()
def quantize_weight(weight: Tensor, spec: QuantSpec, name: str) -> Tensor:
    """Quantize and dequantize: the weight as a model with `spec` computes with it.

    weight [out, in] fp32, fp16 or bf16 -> a new contiguous tensor of its shape and dtype; the weight itself for the
    16-bit control. UserError, naming the tensor `name`: a NaN or infinite weight, an option that this release cannot
    evaluate. UnsupportedError, naming it too: an absmax that its format cannot hold.
    """
    if spec.unbuilt:
        raise UserError(f"{name}: this release cannot evaluate {', '.join(spec.unbuilt)} (spec {spec.slug})")
    if spec.data_type == "none" or not weight.numel():
        return weight
    absmax_dtype = SCALE_FORMATS[spec.scale_format](weight.dtype)
    check_range(weight, absmax_dtype, name)
    codebook = CODEBOOKS[spec.data_type](spec, weight)
    return SOLVERS[spec.solver](weight, codebook, weights_per_block(weight, spec), absmax_dtype)


def weights_per_block(weight: Tensor, spec: QuantSpec) -> int:
    """Consecutive weights that share one absmax."""
    match spec.block_size:
        case "row":
            return weight.shape[-1]
        case "tensor":
            return weight.numel()
        case block_size:
            return block_size


def check_range(weight: Tensor, absmax_dtype: torch.dtype, name: str) -> None:
    """Refuse what has no place on a codebook scaled by a stored absmax.

    A weight that is no number breaks the model, one that is too large only the specs that store its absmax so.
    """
    lowest, highest = torch.aminmax(weight)
    largest = torch.maximum(-lowest, highest)
    if not torch.isfinite(largest):
        n_bad = weight.numel() - int(torch.isfinite(weight).sum())
        raise UserError(f"{name}: {n_bad} of {weight.numel()} weights are NaN or infinite, which no codebook holds")
    if torch.isinf(largest.to(absmax_dtype)):
        limit = torch.finfo(absmax_dtype).max
        raise UnsupportedError(
            f"{name}: its largest weight has magnitude {largest.item():g}, but an absmax is stored as "
            f"{str(absmax_dtype).removeprefix('torch.')}, which ends at {limit:g}"
        )
