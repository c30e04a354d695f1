"""Fake quantization in bounded memory: bit for bit the reference's result, from pieces that stay in the cache."""

from collections.abc import Iterator

import torch
from torch import Tensor

from kbit.kernels import reference
from kbit.kernels.search import Search, make_search

PIECE_WEIGHTS = 1 << 16
"""Weights worked on at a time."""


def fake_quantize(weight: Tensor, codebook: Tensor, block_size: int, absmax_dtype: torch.dtype) -> Tensor:
    """Equals `reference.fake_quantize`, whose docstring states shapes and dtypes."""
    source = weight.contiguous().view(-1)
    stored = block_absmax(source, block_size).to(absmax_dtype).float()
    search = make_search(reference.midpoints(codebook), weight.numel())
    return apply(source, codebook, search, stored, None, block_size).view(weight.shape)


def fake_quantize_scaled(
    weight: Tensor, codebook: Tensor, scale: Tensor, offset: Tensor | None, block_size: int
) -> Tensor:
    """Equals `reference.fake_quantize_scaled`, whose docstring states shapes and dtypes."""
    if codebook.dim() == 2:
        return rowwise(weight, codebook, scale, offset, block_size)
    search = make_search(reference.midpoints(codebook), weight.numel())
    flat = apply(weight.contiguous().view(-1), codebook, search, scale, offset, block_size)
    return flat.view(weight.shape)


def apply(
    source: Tensor, codebook: Tensor, search: Search, scale: Tensor, offset: Tensor | None, block_size: int
) -> Tensor:
    """source [n], contiguous, in pieces -> [n] in its dtype."""
    target = torch.empty_like(source)
    inverses = reference.reciprocal(scale)
    has_zero_block = bool((inverses == 0).any())
    for weights, blocks in pieces(source.numel(), block_size):
        absmax, inverse = scale[blocks, None], inverses[blocks, None]
        t = source[weights].view(len(absmax), -1).float()
        t = t * inverse if offset is None else (t - offset[blocks, None]) * inverse
        levels = codebook.index_select(0, search(t.view(-1))).view(t.shape).mul_(absmax)
        if has_zero_block:
            levels.masked_fill_(inverse == 0, 0.0)
        if offset is not None:
            levels += offset[blocks, None]
        target[weights] = levels.view(-1)
    return target


def rowwise(weight: Tensor, codebook: Tensor, scale: Tensor, offset: Tensor | None, block_size: int) -> Tensor:
    """Some rows at a time, each searched in its own codebook."""
    rows, columns = weight.shape
    output = torch.empty_like(weight, memory_format=torch.contiguous_format)
    thresholds = ((codebook[:, 1:] + codebook[:, :-1]) * 0.5).contiguous()
    inverse = reference.reciprocal(scale)
    step = max(PIECE_WEIGHTS // max(columns, 1), 1)
    for first in range(0, rows, step):
        piece = weight[first : first + step]
        places = torch.arange(first * columns, first * columns + piece.numel(), device=weight.device)
        blocks = (places // block_size).view(piece.shape)
        values = piece.float().contiguous()
        t = (values if offset is None else values - offset[blocks]) * inverse[blocks]
        codes = torch.searchsorted(thresholds[first : first + step], t)
        levels = codebook[first : first + step].gather(1, codes) * scale[blocks]
        levels = torch.where(inverse[blocks] != 0, levels, 0.0)
        output[first : first + step] = levels if offset is None else levels + offset[blocks]
    return output


def block_absmax(flat: Tensor, block_size: int) -> Tensor:
    """Equals `reference.block_absmax` of a contiguous vector [n], without a copy of it."""
    lowest, highest = block_range(flat, block_size)
    return torch.maximum(highest, -lowest)


def block_range(flat: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    """Smallest and largest weight of each block of a contiguous vector [n], both [ceil(n / block_size)]."""
    whole = flat.numel() // block_size * block_size
    parts = [part for part in (flat[:whole].view(-1, block_size), flat[whole:].view(1, -1)) if part.numel()]
    if not parts:
        return flat, flat
    return torch.cat([part.amin(dim=1) for part in parts]), torch.cat([part.amax(dim=1) for part in parts])


def block_mean(flat: Tensor, block_size: int) -> Tensor:
    """Mean of each block of a contiguous vector [n], summed in double precision -> f32 [ceil(n / block_size)]."""
    whole = flat.numel() // block_size * block_size
    parts = [part for part in (flat[:whole].view(-1, block_size), flat[whole:].view(1, -1)) if part.numel()]
    return torch.cat([part.mean(dim=1, dtype=torch.float64) for part in parts]).float()


def pieces(n_weights: int, block_size: int, piece_weights: int | None = None) -> Iterator[tuple[slice, slice]]:
    """Cut n weights into (weights, blocks): some whole blocks, the short last block, or a stretch of one block."""
    piece_weights = piece_weights or PIECE_WEIGHTS
    if block_size > piece_weights:
        for block, start in enumerate(range(0, n_weights, block_size)):
            end = min(start + block_size, n_weights)
            for begin in range(start, end, piece_weights):
                yield slice(begin, min(begin + piece_weights, end)), slice(block, block + 1)
        return
    n_whole, blocks_per_piece = n_weights // block_size, piece_weights // block_size
    for first in range(0, n_whole, blocks_per_piece):
        last = min(first + blocks_per_piece, n_whole)
        yield slice(first * block_size, last * block_size), slice(first, last)
    if n_whole * block_size < n_weights:
        yield slice(n_whole * block_size, n_weights), slice(n_whole, n_whole + 1)
