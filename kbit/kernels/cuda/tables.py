"""A codebook as the kernels read it: thresholds, levels, and cells of the float number line for the quicker search.

Words of 32 bits: 2^K thresholds, of which those beyond the codebook's own are infinite; 2^K levels, the last one
repeated; where cells are used, their shift, first number and count, one word unused, and for each cell, the positive
ones first, a byte with the number of thresholds below it (kbit/kernels/cuda/search.cuh).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kbit.kernels.reference import midpoints

SMALLEST_CELL_BITS = 6
"""Fewer steps of the binary search take no longer than the look-up does."""
MANTISSA_BITS = 23
MOST_MANTISSA_BITS = 8
MOST_CELLS = 4096
"""Of one sign: 8 KB of shared memory, which leaves room for all the threads an SM can run."""


@dataclass(frozen=True)
class Tables:
    """The tables of one codebook."""

    words: Tensor
    """i32 [n], on the codebook's device."""
    bits: int
    """K: codes are below 2^K."""
    use_cells: bool

    @property
    def shared_bytes(self) -> int:
        return 4 * self.words.numel()


def build_tables(codebook: Tensor, bits: int | None = None) -> Tables:
    """codebook f32 [L <= 256], ascending; bits: width of a code, by default the least that names every level.

    Codebooks with two thresholds in one cell get none, and are searched.
    """
    book = codebook.cpu()
    bits = bits or max((book.numel() - 1).bit_length(), 1)
    thresholds = midpoints(book)
    words = [
        torch.cat([thresholds, thresholds.new_full((2**bits - thresholds.numel(),), torch.inf)]).view(torch.int32),
        torch.cat([book, book[-1:].expand(2**bits - book.numel())]).view(torch.int32),
    ]
    cells = find_cells(thresholds) if bits >= SMALLEST_CELL_BITS else None
    if cells is not None:
        words.append(cells)
    return Tables(torch.cat(words).to(codebook.device), bits, cells is not None)


def build_row_tables(codebooks: Tensor) -> Tables:
    """codebooks f32 [out, L <= 256], ascending, one for each row -> the tables of the rows one after the other.

    Without cells: of codebooks that are learned from a row, one is read by a row's weights alone.
    """
    bits = max((codebooks.shape[1] - 1).bit_length(), 1)
    thresholds = (codebooks[:, 1:] + codebooks[:, :-1]) * 0.5
    beyond = codebooks.new_full((len(codebooks), 2**bits - thresholds.shape[1]), torch.inf)
    repeated = codebooks[:, -1:].expand(-1, 2**bits - codebooks.shape[1])
    words = torch.cat([thresholds, beyond, codebooks, repeated], dim=1)
    return Tables(words.contiguous().view(torch.int32), bits, use_cells=False)


def find_cells(thresholds: Tensor) -> Tensor | None:
    """The fewest cells with at most one of the thresholds f32 [L - 1] in each, as i32 words; None if there are none."""
    for mantissa_bits in range(MOST_MANTISSA_BITS + 1):
        cells = cut_cells(thresholds, MANTISSA_BITS - mantissa_bits)
        if cells is not None:
            return cells
    return None


def cut_cells(thresholds: Tensor, shift: int) -> Tensor | None:
    """Cells whose numbers are the upper bits of a magnitude, from `shift` on; None if two thresholds share one."""
    numbers = thresholds[thresholds != 0].abs().view(torch.int32) >> shift
    if not numbers.numel():
        return None
    # The first cell reaches down to 0, which may be a threshold too: it begins below the smallest other one.
    first = max(int(numbers.min()) - 1, 0)
    count = int(numbers.max()) - first + 1
    if count > MOST_CELLS:
        return None
    edges = ((torch.arange(count + 1, dtype=torch.int32) + first) << shift).view(torch.float32)
    low, high = edges[:-1].clone(), edges[1:].clone()
    low[0], high[-1] = 0.0, torch.inf
    below_positive = torch.searchsorted(thresholds, low)
    below_negative = torch.searchsorted(thresholds, -high, right=True)
    in_positive = torch.searchsorted(thresholds, high) - below_positive
    in_negative = torch.searchsorted(thresholds, -low, right=True) - below_negative
    if max(int(in_positive.max()), int(in_negative.max())) > 1:
        return None
    below = torch.cat([below_positive, below_negative]).to(torch.uint8)
    padded = torch.nn.functional.pad(below, (0, -below.numel() % 4)).view(torch.int32)
    return torch.cat([torch.tensor([shift, first, count, 0], dtype=torch.int32), padded])
