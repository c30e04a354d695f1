"""The spread of each hidden unit's weights, from layers of any size in little memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PIECE_WEIGHTS = 1 << 22
"""Weights worked on at a time, in double precision."""


@dataclass(frozen=True, slots=True, eq=False)
class UnitMoments:
    """Of the weights of hidden units."""

    count: int
    """Weights of each unit."""
    mean: Tensor
    """f64 [units], on the CPU."""
    deviation: Tensor
    """f64 [units], on the CPU: sum of the squares of what the weights differ from their mean by."""

    def at(self, units: Tensor | None) -> "UnitMoments":
        """Of the units with these numbers, i64 [n]; None: all."""
        return self if units is None else UnitMoments(self.count, self.mean[units], self.deviation[units])

    @property
    def std(self) -> Tensor:
        """f32 [units]. On different devices sums in double precision differ by less than the last digit of these."""
        return (self.deviation / max(self.count, 1)).sqrt().float()


def measure_units(weight: Tensor, axis: int, dtype: torch.dtype, device: torch.device) -> UnitMoments:
    """Moments of a matrix whose units lie along `axis`, rounded to `dtype` first; worked out on `device`, in pieces."""
    rows, width = weight.shape
    step = max(PIECE_WEIGHTS // max(width, 1), 1)
    found = []
    for first in range(0, rows, step):
        piece = weight[first : first + step].to(device, dtype).double()
        variance, mean = torch.var_mean(piece, dim=1 - axis, correction=0)
        count = piece.shape[1 - axis]
        found.append(UnitMoments(count, mean.cpu(), variance.mul_(count).cpu()))
    if axis == 1:
        return combine(found)
    return UnitMoments(width, torch.cat([of.mean for of in found]), torch.cat([of.deviation for of in found]))


def combine(parts: Sequence[UnitMoments]) -> UnitMoments:
    """Of units each of whose weights are in several parts."""
    if len(parts) == 1:
        return parts[0]
    count = sum(part.count for part in parts)
    mean = sum(part.count * part.mean for part in parts) / count
    deviation = sum(part.deviation + part.count * (part.mean - mean).square() for part in parts)
    return UnitMoments(count, mean, deviation)
