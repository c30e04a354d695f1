"""The definition of fake quantization, in plain torch on any device. Every faster form must equal it bit for bit.

One arithmetic rule, all in fp32, for weight x in a block with stored absmax a and ascending codebook u_0 < u_1 < ...:

    t = x * (1 / a)        code = number of midpoints (u_i + u_i+1) / 2 strictly below t        y = u_code * a

so an exact tie goes down, and y is rounded once, to the dtype of the weight. Blocks without a finite positive 1 / a
are zeros: those whose absmax is stored as 0, and those at or below 2^-128, where 1 / a overflows (only bfloat16 gets
there).

A block may also be shifted, and its scale may be negative: then t = (x - m) * (1 / a) and y = u_code * a + m, rounded
after the product and after the sum, and a block of zeros is all m. In general, 1 / a need only be finite.
"""

import torch
from torch import Tensor
from torch.nn import functional


def midpoints(codebook: Tensor) -> Tensor:
    """codebook f32 [L] ascending -> f32 [L - 1], the decision thresholds."""
    return (codebook[1:] + codebook[:-1]) * 0.5


def block_absmax(weight: Tensor, block_size: int) -> Tensor:
    """Largest magnitude of each block of `block_size` consecutive weights, the last of which may be short.

    weight [...] fp32, fp16 or bf16 -> the same dtype [ceil(n / block_size)].
    """
    magnitudes = weight.reshape(-1).abs()
    padded = functional.pad(magnitudes, (0, -magnitudes.numel() % block_size))
    return padded.view(-1, block_size).amax(dim=1)


def reciprocal(absmax: Tensor) -> Tensor:
    """Stored absmax f32 [...] -> 1 / absmax, and 0 for a block that is zeros."""
    inverse = 1 / absmax
    return torch.where(torch.isfinite(inverse), inverse, 0.0)


def quantize_codes(t: Tensor, thresholds: Tensor) -> Tensor:
    """t f32 [...], weights times the reciprocal of their absmax; thresholds f32 [L - 1] -> codes u8 [...]."""
    return torch.bucketize(t, thresholds).to(torch.uint8)


def dequantize(codes: Tensor, codebook: Tensor, absmax: Tensor) -> Tensor:
    """codes u8 [...], codebook f32 [L], absmax f32 [...] stored value of each code's block -> f32 [...]."""
    return torch.where(reciprocal(absmax) != 0, codebook[codes.long()] * absmax, 0.0)


def fake_quantize(weight: Tensor, codebook: Tensor, block_size: int, absmax_dtype: torch.dtype) -> Tensor:
    """Quantize and dequantize with the *stored* absmax.

    weight [out, in] fp32, fp16 or bf16, finite, read in row-major order; codebook f32 [L <= 256] ascending in [-1, 1]
    -> contiguous, shape and dtype of weight.
    """
    stored = block_absmax(weight, block_size).to(absmax_dtype).float()
    absmax = stored.repeat_interleave(block_size)[: weight.numel()].view(weight.shape)
    codes = quantize_codes(weight.float() * reciprocal(absmax), midpoints(codebook))
    return dequantize(codes, codebook, absmax).to(weight.dtype)


def fake_quantize_scaled(
    weight: Tensor, codebook: Tensor, scale: Tensor, offset: Tensor | None, block_size: int
) -> Tensor:
    """Quantize and dequantize with scales and offsets that are given.

    weight [out, in] fp32, fp16 or bf16, finite, read in row-major order; codebook f32 [L <= 256] ascending, or
    [out, L], one for each row; scale, offset f32 [ceil(out * in / block_size)], stored values, finite
    -> contiguous, shape and dtype of weight.
    """

    def spread(of_blocks: Tensor) -> Tensor:
        return of_blocks.repeat_interleave(block_size)[: weight.numel()].view(weight.shape)

    scales, values = spread(scale), weight.float()
    t = (values if offset is None else values - spread(offset)) * reciprocal(scales)
    if codebook.dim() == 1:
        y = dequantize(quantize_codes(t, midpoints(codebook)), codebook, scales)
    else:
        rows = zip(t, codebook, scales, strict=True)
        y = torch.stack([dequantize(quantize_codes(row, midpoints(book)), book, a) for row, book, a in rows])
    return (y if offset is None else y + spread(offset)).to(weight.dtype)
