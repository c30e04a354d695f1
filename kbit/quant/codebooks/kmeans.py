"""`kmeans` and `kmeans-row`: levels learned from the weights themselves, of a whole tensor or of every row."""

import torch
from torch import Tensor

from kbit.kernels.reference import reciprocal
from kbit.quant.scales import Scales
from kbit.spec.members import DATA_TYPES
from kbit.spec.quant import QuantSpec

BINS = 1 << 12
"""Of the interval [-1, 1]: values closer than 2^-11 count as one in the iteration."""
COARSE_BINS = 1 << 6
"""Bins of the density that the first levels are taken from."""
STEPS = 100
ROWS = 256
"""Rows worked on at a time."""


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """Centres of weighted k-means on t = weight / stored scale, weights scale^2: the error that counts is the weight's.

    Lloyd's iteration on a histogram, from levels spaced by the cube root of the density, the optimum for many levels:
    any4 (Elhoushi & Johnson, 2025) without its calibration. A level is stored in fp16 and used as stored. Worked out on
    the CPU, whose sums have one order. Returns f32 [<= 2^k], or [out, 2^k] for `kmeans-row`, where levels may repeat.
    """
    rows = weight.cpu() if DATA_TYPES[spec.data_type].table == "row" else weight.cpu().reshape(1, -1)
    scales = Scales(weight, spec, spec.data_type)
    scale = scales.scale.cpu().repeat_interleave(scales.block_size)[: weight.numel()].view(rows.shape)
    pieces = zip(rows.split(ROWS), scale.split(ROWS), strict=True)
    levels = torch.cat([iterate(*histogram(*piece), 2**spec.bits) for piece in pieces]).half().float()
    return (levels if DATA_TYPES[spec.data_type].table == "row" else torch.unique(levels)).to(weight.device)


def histogram(weight: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """weight [r, n], scale f32 [r, n] -> sums of scale^2 and of scale^2 t in every bin, f64 [r, BINS] both."""
    t = (weight.float() * reciprocal(scale)).clamp(-1, 1).double()
    bins = ((t + 1) * (BINS / 2)).long().clamp_max(BINS - 1) + torch.arange(len(t))[:, None] * BINS
    squares = scale.double().square()
    mass = torch.bincount(bins.flatten(), squares.flatten(), minlength=len(t) * BINS)
    moment = torch.bincount(bins.flatten(), (squares * t).flatten(), minlength=len(t) * BINS)
    return mass.view(-1, BINS), moment.view(-1, BINS)


def iterate(mass: Tensor, moment: Tensor, n: int) -> Tensor:
    """Sums per bin, f64 [r, BINS] both -> n ascending levels, f64 [r, n]. A cell without values keeps its level."""
    start = torch.zeros(len(mass), 1, dtype=torch.float64)
    below = torch.cat([start, mass.cumsum(1)], dim=1)
    moment_below = torch.cat([start, moment.cumsum(1)], dim=1)
    levels = first_levels(mass, n)
    for _ in range(STEPS):
        # Bins whose middle lies below a midpoint belong to the cell before it.
        inner = (((levels[:, 1:] + levels[:, :-1]) / 2 + 1) * (BINS / 2)).round().long().clamp(0, BINS)
        ends = torch.cat([start.long(), inner, start.long() + BINS], dim=1)
        cell_mass = below.gather(1, ends).diff(dim=1)
        centres = moment_below.gather(1, ends).diff(dim=1) / cell_mass
        # Of masses that differ only by the rounding of their sums there is no centre.
        is_used = cell_mass > below[:, -1:] * 1e-12
        moved = torch.where(is_used, centres, levels).clamp(-1, 1).sort(dim=1).values
        if torch.equal(moved, levels):
            break
        levels = moved
    return levels


def first_levels(mass: Tensor, n: int) -> Tensor:
    """Quantiles at (i + 1/2) / n of the cube root of the coarse histogram; an even spread for a row of zeros."""
    roots = mass.view(len(mass), COARSE_BINS, -1).sum(2) ** (1 / 3)
    roots = torch.where(roots.sum(1, keepdim=True) > 0, roots, 1.0)
    cumulative = roots.cumsum(1) / roots.sum(1, keepdim=True)
    probabilities = ((torch.arange(n, dtype=torch.float64) + 0.5) / n).expand(len(mass), n).contiguous()
    found = torch.searchsorted(cumulative, probabilities).clamp_max(COARSE_BINS - 1)
    height = (roots / roots.sum(1, keepdim=True)).gather(1, found)
    inside = 1 - (cumulative.gather(1, found) - probabilities) / height
    return ((found + inside) * (2 / COARSE_BINS) - 1).clamp(-1, 1)
