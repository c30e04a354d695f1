"""Fake quantization in bounded memory: bit for bit the reference's result, from pieces that stay in the cache."""

from collections.abc import Iterator

import torch
from torch import Tensor

from kbit.kernels import reference
from kbit.kernels.search import make_search

PIECE_WEIGHTS = 1 << 16
"""Weights worked on at a time."""


def fake_quantize(weight: Tensor, codebook: Tensor, block_size: int, absmax_dtype: torch.dtype) -> Tensor:
    """Equals `reference.fake_quantize`, whose docstring states shapes and dtypes."""
    output = torch.empty_like(weight, memory_format=torch.contiguous_format)
    source, target = weight.contiguous().view(-1), output.view(-1)
    search = make_search(reference.midpoints(codebook), weight.numel())
    stored = block_absmax(source, block_size).to(absmax_dtype).float()
    inverses = reference.reciprocal(stored)
    has_zero_block = bool((inverses == 0).any())
    for weights, blocks in pieces(weight.numel(), block_size):
        absmax, inverse = stored[blocks, None], inverses[blocks, None]
        t = source[weights].view(len(absmax), -1).float() * inverse
        levels = codebook.index_select(0, search(t.view(-1))).view(t.shape).mul_(absmax)
        if has_zero_block:
            levels.masked_fill_(inverse == 0, 0.0)
        target[weights] = levels.view(-1)
    return output


def block_absmax(flat: Tensor, block_size: int) -> Tensor:
    """Equals `reference.block_absmax` of a contiguous vector [n], without a copy of it."""
    whole = flat.numel() // block_size * block_size
    parts = [flat[:whole].view(-1, block_size), flat[whole:].view(1, -1)]
    return torch.cat([torch.maximum(part.amax(dim=1), -part.amin(dim=1)) for part in parts if part.numel()] or [flat])


def pieces(n_weights: int, block_size: int) -> Iterator[tuple[slice, slice]]:
    """Cut n weights into (weights, blocks): some whole blocks, the short last block, or a stretch of one block."""
    if block_size > PIECE_WEIGHTS:
        for block, start in enumerate(range(0, n_weights, block_size)):
            end = min(start + block_size, n_weights)
            for begin in range(start, end, PIECE_WEIGHTS):
                yield slice(begin, min(begin + PIECE_WEIGHTS, end)), slice(block, block + 1)
        return
    n_whole, blocks_per_piece = n_weights // block_size, PIECE_WEIGHTS // block_size
    for first in range(0, n_whole, blocks_per_piece):
        last = min(first + blocks_per_piece, n_whole)
        yield slice(first * block_size, last * block_size), slice(first, last)
    if n_whole * block_size < n_weights:
        yield slice(n_whole * block_size, n_weights), slice(n_whole, n_whole + 1)
