"""Packed weights in plain torch on any device: the definition that kernels of a device must equal.

Codes as `kbit.kernels.reference` has them, laid out by `kbit.kernels.packing`; what a code stands for is u * a + m, as
there. Worked out in pieces, so that a layer's codes are never all spread over a byte each.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from kbit.kernels.packing import CODES_PER_GROUP, count_words, pack_codes, unpack_codes
from kbit.kernels.reference import block_absmax, quantize_codes, reciprocal

PIECE_WEIGHTS = 1 << 20
"""Weights worked on at a time."""


def quantize_pack(
    weight: Tensor, codebook: Tensor, bits: int, block_size: int, absmax_dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """weight [out, in], codebook f32 [L <= 2^bits] -> words i32 [count_words(n, bits)], absmax as stored [blocks]."""
    absmax = block_absmax(weight, block_size).to(absmax_dtype)
    return quantize_pack_scaled(weight, codebook, bits, absmax.float(), None, block_size), absmax


def quantize_pack_scaled(
    weight: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int
) -> Tensor:
    """weight [out, in], codebook f32 [L] or [out, L]; scale, offset f32 [blocks] -> words i32 [words]."""
    flat, inverse = weight.contiguous().view(-1), reciprocal(scale)
    codes = []
    words = torch.empty(count_words(flat.numel(), bits), dtype=torch.int32, device=weight.device)
    n_packed = 0
    for begin, end in pieces(weight, codebook):
        block = blocks_of(begin, end, block_size, weight.device)
        t = flat[begin:end].float()
        t = (t if offset is None else t - offset[block]) * inverse[block]
        codes.append(find_codes(t, codebook, begin, end, weight.shape[-1]))
        # Pieces that are whole rows need not end where a group does: what is left over goes with the next.
        waiting = torch.cat(codes)
        whole = len(waiting) if end == flat.numel() else len(waiting) // CODES_PER_GROUP * CODES_PER_GROUP
        packed = pack_codes(waiting[:whole], bits)
        words[n_packed : n_packed + len(packed)] = packed
        n_packed += len(packed)
        codes = [waiting[whole:]]
    return words


def unpack_dequantize(
    words: Tensor,
    codebook: Tensor,
    bits: int,
    scale: Tensor,
    offset: Tensor | None,
    block_size: int,
    shape: tuple[int, int],
    dtype: torch.dtype,
) -> Tensor:
    """words i32, codebook f32 [L] or [out, L], scale fp32, fp16 or bf16 [blocks], offset f32 [blocks] -> [out, in].

    In `dtype`, rounded once.
    """
    weight = torch.empty(shape, dtype=dtype, device=words.device)
    flat, width = weight.view(-1), shape[1]
    scale = scale.float()
    is_used = reciprocal(scale) != 0
    for begin, end in pieces(weight, codebook):
        first = begin // CODES_PER_GROUP
        last = -(-end // CODES_PER_GROUP)
        spread = unpack_codes(words[first * bits : last * bits], bits, (last - first) * CODES_PER_GROUP)
        codes = spread[begin - first * CODES_PER_GROUP :][: end - begin].long()
        block = blocks_of(begin, end, block_size, words.device)
        if codebook.dim() == 2:
            rows = torch.arange(begin // width, end // width, device=words.device)
            levels = codebook[rows].gather(1, codes.view(-1, width)).view(-1)
        else:
            levels = codebook[codes]
        values = torch.where(is_used[block], levels * scale[block], 0.0)
        flat[begin:end] = values if offset is None else values + offset[block]
    return weight


def multiply(
    x: Tensor, words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int,
) -> Tensor:  # fmt: skip
    """x [rows, in] @ W^T -> [rows, out] in the dtype of x; sums in fp32, of weights that are not rounded."""
    shape = (n_outputs, x.shape[1])
    weight = unpack_dequantize(words, codebook, bits, scale, offset, block_size, shape, torch.float32)
    return (x.float() @ weight.t()).to(x.dtype)


def find_codes(t: Tensor, codebook: Tensor, begin: int, end: int, width: int) -> Tensor:
    """t f32 [end - begin], of whole rows where each row has a codebook of its own -> codes u8."""
    thresholds = (codebook[..., 1:] + codebook[..., :-1]) * 0.5
    if codebook.dim() == 1:
        return quantize_codes(t, thresholds)
    rows = thresholds[begin // width : end // width].contiguous()
    return torch.searchsorted(rows, t.view(len(rows), width)).to(torch.uint8).view(-1)


def blocks_of(begin: int, end: int, block_size: int, device: torch.device) -> Tensor:
    """i64 [end - begin]: block of every weight."""
    return torch.arange(begin, end, device=device) // block_size


def pieces(weight: Tensor, codebook: Tensor) -> Iterator[tuple[int, int]]:
    """Where each piece begins and ends: at groups; with a codebook for each row, at rows."""
    step = PIECE_WEIGHTS
    if codebook.dim() == 2:
        width = max(weight.shape[1], 1)
        step = max(step // width, 1) * width
    for begin in range(0, weight.numel(), step):
        yield begin, min(begin + step, weight.numel())
