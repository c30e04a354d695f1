"""`hqq`: half-quadratic quantization. What a block stores is chosen so that most of its weights have small errors.

The sum of |error|^p over a block, p = 0.7, grows slowly with an error that is large already, so that a few weights may
be left far off for the sake of the others. Half-quadratic splitting (Badri & Shaji 2023, Half-Quadratic Quantization of
Large Machine Learning Models) lets a second variable take on the large errors and alternates closed forms: round,
shrink the errors, take what is left by least squares. No data is needed, and nothing more is stored than by `rtn`.

One number per block is moved. Of data types that store a minimum, `int-asym`, it is this minimum, the published
zero-point times the step: its least-squares value is the mean of what is left. Of all others, which store no such
number, it is the scale, by the same alternation: the regression of what is left on the levels that were taken. It
starts at what `rtn` stores and finds the optimum near that. Scales that are powers of two hardly ever leave theirs.

Three things differ from the published code, hqq 0.2.8. Errors are measured in steps of the block, the mean distance of
two levels times the scale: in the unit of the weights themselves, next to none exceeds the 0.17 below which the shrunk
error is 0, and p would not matter. Every block keeps the best it has seen; there, all of a tensor end together, at the
first step that does not lower the mean error. And that best is rounded to its format before it is judged against what
`rtn` stores: no block is worse than by `rtn` (with scale format `dq`, where scales share their mean, no tensor).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from kbit.kernels import ops
from kbit.kernels.blockwise import pieces
from kbit.kernels.reference import reciprocal
from kbit.quant.scales import Scales
from kbit.quant.statistics import Statistics

NORM = 0.7
"""p."""
BETA, KAPPA = 10.0, 1.01
"""An error v, in steps, is shrunk by |v|^(p - 1) / beta; beta grows by this factor in every step."""
STEPS = 20
PIECE_WEIGHTS = 1 << 20
"""Weights worked on at a time: each takes some forty bytes meanwhile."""
SMALLEST = 1e-30
"""What an error of 0 is taken for, whose power would be infinite."""


def solve(weight: Tensor, codebook: Tensor, scales: Scales, statistics: Statistics) -> Tensor:  # noqa: ARG001 (data-free)
    """Arithmetic and ties of the weights: `kbit.kernels.reference`. Sums of errors are taken in float64."""
    blocks = Blocks(weight.contiguous().view(-1), weight.shape[-1], codebook, scales)
    scale, offset = blocks.split(least_errors(blocks))
    return ops.fake_quantize_scaled(weight, codebook, scale, offset, scales.block_size)


def least_errors(blocks: "Blocks") -> Tensor:
    """The number of each block by which it has the least error, f32 [blocks], as it is read back."""
    values = best = blocks.start
    first_error = least = None
    beta = BETA
    for _ in range(STEPS + 1):
        error, change = blocks.judge(values, beta)
        if least is None:
            first_error = least = error
        else:
            is_better = error < least
            if not is_better.any():
                break
            best, least = torch.where(is_better, values, best), torch.where(is_better, error, least)
        values, beta = blocks.moved(values, change), beta * KAPPA
    return as_stored(blocks, best, first_error)


def as_stored(blocks: "Blocks", best: Tensor, first_error: Tensor) -> Tensor:
    """What was found, rounded to its format, where it still is better than the start, whose error is first_error."""

    def error_of(stored: Tensor) -> Tensor:
        return blocks.judge(stored, BETA)[0]

    found = blocks.stored(best)
    found = torch.where(error_of(found) < first_error, found, blocks.start)
    if not blocks.share:
        return found
    # Scales that share a number are read back otherwise with others beside them.
    together = blocks.stored(found)
    return together if error_of(together).sum() < first_error.sum() else blocks.start


@dataclass(frozen=True)
class Blocks:
    """The blocks of one weight, and what becomes of them for given values of the number that is moved."""

    flat: Tensor
    """The weight, contiguous [n], fp32, fp16 or bf16."""
    width: int
    """Weights of a row."""
    codebook: Tensor
    """f32 [L] ascending, or [out, L], one for each row."""
    scales: Scales

    @property
    def moves_offset(self) -> bool:
        """Whether the number that is moved is the stored minimum, else it is the scale."""
        return self.scales.has_minimum

    @property
    def share(self) -> bool:
        """Whether the stored value of one block depends on those of others."""
        return not self.moves_offset and self.scales.scale_dtype is None

    @property
    def start(self) -> Tensor:
        return self.scales.offset if self.moves_offset else self.scales.scale

    @property
    def unit(self) -> Tensor:
        """f32 [blocks]: the mean distance of two levels, in which errors are measured."""
        n_steps = max(self.codebook.shape[-1] - 1, 1)
        return self.scales.scale.abs() * ((self.codebook.max() - self.codebook.min()) / n_steps)

    def split(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scale and offset of every block, given the number that is moved."""
        return (self.scales.scale, values) if self.moves_offset else (values, self.scales.offset)

    def moved(self, values: Tensor, change: Tensor) -> Tensor:
        """The next values, f32 [blocks]. Scales keep their sign, and the largest stays if others are stored over it."""
        if self.moves_offset:
            return values + change
        size = self.start.abs()
        limit = size.max() if self.share else torch.inf
        moves = ((values + change) * self.start.sign() > 0) & (size < limit)
        return torch.where(moves, (values + change).clamp(-limit, limit), self.start)

    def stored(self, values: Tensor) -> Tensor:
        """As they are read back, f32 [blocks]; what no format holds becomes infinite, and loses."""
        if self.moves_offset:
            return self.scales.store_offset(values)
        extent = torch.where(values == self.start, self.scales.extent, values * self.scales.largest_level)
        return self.scales.store(extent)

    def judge(self, values: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        """Error of every block, the sum of |v|^p, f64 [blocks]; what to add to its number next, f32 [blocks]."""
        scale, offset = self.split(values)
        inverse, unit = reciprocal(scale), self.unit
        error, moment, mass = torch.zeros(3, len(values), dtype=torch.float64, device=values.device)
        for weights, some in pieces(len(self.flat), self.scales.block_size, PIECE_WEIGHTS):
            x = self.flat[weights].view(len(values[some]), -1).float()
            shifted = x if offset is None else x - offset[some, None]
            levels = self.nearest(shifted * inverse[some, None], weights.start)
            y = torch.where(inverse[some, None] != 0, levels * scale[some, None], 0.0)
            y = y if offset is None else y + offset[some, None]
            v = (x - y.to(self.flat.dtype).float()) * reciprocal(unit[some, None])
            power = v.abs().clamp_min(SMALLEST) ** (NORM - 1)
            # What is left of an error after what shrinking it leaves is taken away.
            rest = v.sign() * torch.minimum(v.abs(), power / beta)
            regressor = torch.ones_like(levels) if self.moves_offset else levels
            error[some] += (v.abs() * power).sum(1, dtype=torch.float64)
            moment[some] += (rest * regressor).sum(1, dtype=torch.float64)
            mass[some] += regressor.square().sum(1, dtype=torch.float64)
        return error, torch.where(mass > 0, moment / mass, 0.0).float() * unit

    def nearest(self, t: Tensor, start: int) -> Tensor:
        """The level nearest to each of some weights over their scales, f32 as t is; start: place of the first.

        By the operator itself, for a scale of 1.
        """
        if self.codebook.dim() == 1:
            return ops.fake_quantize_scaled(t, self.codebook, t.new_ones(len(t)), None, t.shape[1])
        flat, end = t.view(-1), start + t.numel()
        # Cut where rows begin: a part of a row, whole rows, a part of a row.
        first_row, last_row = min(-(-start // self.width) * self.width, end), max(end // self.width * self.width, start)
        parts = []
        for begin, stop in pairwise(sorted({start, first_row, last_row, end})):
            books = self.codebook[begin // self.width : -(-stop // self.width)]
            rows = flat[begin - start : stop - start].view(len(books), -1)
            parts.append(ops.fake_quantize_scaled(rows, books, t.new_ones(1), None, rows.numel()).view(-1))
        return torch.cat(parts).view(t.shape)
