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
"""Rows worked on at a time, if they are short."""
PIECE_WEIGHTS = 1 << 20
"""Weights worked on at a time: each takes some sixty bytes meanwhile."""


def codebook(spec: QuantSpec, weight: Tensor, is_kept: Tensor | None = None) -> Tensor:
    """Centres of weighted k-means on t = weight / stored scale, weights scale^2: the error that counts is the weight's.

    Lloyd's iteration on a histogram, from levels spaced by the cube root of the density, the optimum for many levels:
    any4 (Elhoushi & Johnson, 2025) without its calibration. A level is stored in fp16 and used as stored. Worked out on
    the CPU, whose sums have one order. is_kept: bool [in], input dimensions to leave out. Returns f32 [<= 2^k], or
    [out, 2^k] for `kmeans-row`, where levels may repeat.
    """
    by_row, n = DATA_TYPES[spec.data_type].table == "row", 2**spec.bits
    scales = Scales(weight, spec, spec.data_type)
    flat, scale = scales.centered.cpu().reshape(-1), scales.scale.cpu()
    counts = torch.ones(weight.shape[-1], dtype=torch.float64) if is_kept is None else (~is_kept).cpu().double()
    width = weight.shape[-1] if by_row else weight.numel()
    step = min(max(PIECE_WEIGHTS // width, 1), ROWS) * width
    stretches = [range(first, min(first + step, len(flat))) for first in range(0, len(flat), step)]
    tables = [iterate(*histogram(flat, places, width, scale, scales.block_size, counts), n) for places in stretches]
    levels = torch.cat(tables).half().float()
    return (levels if by_row else torch.unique(levels)).to(weight.device)


def histogram(
    flat: Tensor, places: range, width: int, scale: Tensor, block_size: int, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums of scale^2 and of scale^2 t in every bin of some rows, f64 [rows, BINS] both.

    flat: all weights [n]; places: of those of the rows, each `width` long; scale f32 [blocks] of all blocks; counts
    [in]: 1 for input dimensions whose weights are counted, else 0.
    """
    mass, moment = torch.zeros(2, len(places) // width * BINS, dtype=torch.float64)
    for first in range(places.start, places.stop, PIECE_WEIGHTS):
        end = min(first + PIECE_WEIGHTS, places.stop)
        place = torch.arange(first, end)
        scale_of_weight = scale[place // block_size]
        t = (flat[first:end].float() * reciprocal(scale_of_weight)).clamp(-1, 1).double()
        bins = ((t + 1) * (BINS / 2)).long().clamp_max(BINS - 1) + (place - places.start) // width * BINS
        squares = scale_of_weight.double().square() * counts[place % len(counts)]
        mass += torch.bincount(bins, squares, minlength=len(mass))
        moment += torch.bincount(bins, squares * t, minlength=len(moment))
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
