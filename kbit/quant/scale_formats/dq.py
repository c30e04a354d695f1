"""`dq`: double quantization. The scales are themselves quantized, to 8 bits in blocks of 256."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kbit.kernels import ops
from kbit.kernels.reference import block_absmax, dequantize, midpoints, quantize_codes, reciprocal
from kbit.spec.members import SCALE_FORMATS
from kbit.spec.quant import QuantSpec

EIGHT_BITS = QuantSpec(data_type="dynamic", bits=8)


def store(extent: Tensor, largest: float) -> Tensor:
    """extent f32 [n], not negative; largest: the codebook's -> f32 [n].

    The mean m of the tensor's scales is subtracted, in fp32; what is left is quantized to the 8-bit dynamic type in
    blocks of 256 with an fp32 absmax; m is added back. A scale that comes out below 0 is 0: its block is
    a hundred times smaller than others. Dettmers et al. (2023), QLoRA, section 3.
    """
    from kbit.quant.codebooks.dynamic import codebook  # data types may ask for scales

    scale = extent / largest
    mean = scale.double().mean().float()
    blocks = SCALE_FORMATS["dq"].superblock
    levels = codebook(EIGHT_BITS, extent)
    return (ops.fake_quantize((scale - mean)[None], levels, blocks, torch.float32)[0] + mean).clamp_min(0.0)


def encode(extent: Tensor, largest: float) -> dict[str, Tensor]:
    """What is stored: `scale`, u8 [n], codes; `superblock`, f32 [n / 256], their absmax; `mean`, f32 [1]."""
    from kbit.quant.codebooks.dynamic import codebook

    scale = extent / largest
    mean = scale.double().mean().float()
    blocks = SCALE_FORMATS["dq"].superblock
    absmax = block_absmax(scale - mean, blocks)
    t = (scale - mean) * reciprocal(absmax).repeat_interleave(blocks)[: len(scale)]
    codes = quantize_codes(t, midpoints(codebook(EIGHT_BITS, extent)))
    return {"scale": codes, "superblock": absmax, "mean": mean.view(1)}


def decode(stored: Mapping[str, Tensor]) -> Tensor:
    """What `encode` stored, as it is read back, f32 [n]."""
    from kbit.quant.codebooks.dynamic import codebook

    codes, absmax = stored["scale"], stored["superblock"]
    spread = absmax.repeat_interleave(SCALE_FORMATS["dq"].superblock)[: len(codes)]
    return (dequantize(codes, codebook(EIGHT_BITS, absmax), spread) + stored["mean"]).clamp_min(0.0)
