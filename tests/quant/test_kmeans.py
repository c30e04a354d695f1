"""Learned levels: against the exact optimum by dynamic programming, and a step of the iteration value by value."""

import pytest
import torch
from torch import Tensor

from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS, kmeans
from kbit.quant.scales import Scales
from kbit.spec.errors import UnsupportedError
from kbit.spec.quant import QuantSpec


def spec(data_type: str = "kmeans-row", bits: int = 2, block_size: int | str = 16, **options) -> QuantSpec:
    return QuantSpec(data_type=data_type, bits=bits, block_size=block_size, **options)


def weights(rows: int = 8, columns: int = 64) -> Tensor:
    """Rows of different shapes: normal, one-sided, with heavy tails."""
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)) * 0.02
    weight[1::3] = weight[1::3].abs()
    weight[2::3] *= 40 * weight[2::3].abs()
    return weight


def least_error(t: list[float], mass: list[float], n: int) -> float:
    """Least weighted squared error of n levels for sorted values, by dynamic programming over the cells' ends."""

    def error(first: int, end: int) -> float:
        w, x = mass[first:end], t[first:end]
        centre = sum(a * b for a, b in zip(w, x, strict=True)) / sum(w)
        return sum(a * (b - centre) ** 2 for a, b in zip(w, x, strict=True))

    best = [0.0] + [float("inf")] * len(t)
    for _ in range(n):
        best = [0.0] + [min(best[first] + error(first, end) for first in range(end)) for end in range(1, len(t) + 1)]
    return best[-1]


def test_rows_are_near_their_optimum() -> None:
    weight = weights(rows=6, columns=32)
    scale = Scales(weight, spec(), "w").scale.repeat_interleave(16).view(weight.shape)
    result = quantize_weight(weight, spec(), "w")
    found = optimum = 0.0
    for row, ours, a in zip(weight, result, scale, strict=True):
        order = (row / a).argsort()
        optimum += least_error((row / a)[order].tolist(), a.square()[order].tolist(), 4)
        found += (ours - row).square().sum().item()
    # Lloyd's iteration ends in a local optimum; bins and fp16 levels cost less than 1e-3.
    assert optimum * 0.999 <= found <= 1.25 * optimum


@pytest.mark.parametrize("data_type", ["kmeans", "kmeans-row"])
@pytest.mark.parametrize("bits", [3, 5])
def test_levels_are_centres_of_their_cells(bits: int, data_type: str) -> None:
    weight, of = weights(rows=6, columns=512), spec(data_type, bits, 64)
    scale = Scales(weight, of, "w").scale.repeat_interleave(64).view(weight.shape)
    books = CODEBOOKS[data_type](of, weight)
    rows = zip(weight, scale, books, strict=True) if data_type == "kmeans-row" else [(weight, scale, books)]
    for row, a, levels in rows:
        cells = torch.bucketize(row / a, (levels[1:] + levels[:-1]) / 2).flatten()
        mass = torch.bincount(cells, a.flatten().square().double(), minlength=len(levels))
        centres = torch.bincount(cells, (a * row).flatten().double(), minlength=len(levels)) / mass
        # The last bins at a midpoint, 2^-11 wide, may fall to either side: a few of some dozen values in a cell.
        assert (centres - levels)[mass > 0].abs().max() < 0.02


def test_learned_levels_beat_fixed_ones() -> None:
    weight = weights(rows=24, columns=1024)

    def error(data_type: str) -> float:
        return (quantize_weight(weight, spec(data_type, 3, 64), "w") - weight).square().mean().item()

    assert error("kmeans-row") < error("kmeans") < min(error("bof"), error("nf"), error("quantile"), error("int"))


def test_levels_are_stored_in_16_bits() -> None:
    levels = CODEBOOKS["kmeans-row"](spec(bits=4), weights())
    assert levels.shape == (8, 16)
    assert torch.equal(levels, levels.half().float())
    assert (levels.diff(dim=1) >= 0).all()


@pytest.mark.parametrize("data_type", ["kmeans", "kmeans-row"])
@pytest.mark.parametrize("piece_weights", [1, 50, 1000])
def test_pieces_do_not_show(piece_weights: int, data_type: str, monkeypatch) -> None:
    """Of a row as long as a piece, of several rows, of a part of one; blocks straddle rows and pieces."""
    weight, of = weights(rows=11, columns=50), spec(data_type, 3, 64)
    expected = CODEBOOKS[data_type](of, weight)
    monkeypatch.setattr(kmeans, "PIECE_WEIGHTS", piece_weights)
    # Sums of other parts may differ in their last bit, which fp16 levels do not show.
    assert torch.equal(CODEBOOKS[data_type](of, weight), expected)


def test_few_distinct_values_are_kept() -> None:
    """Two magnitudes per row, with levels to spare."""
    weight = torch.tensor([[1.0, -0.5], [0.25, 0.25], [0.0, 0.0], [-2.0, 0.5]]).repeat(1, 16)
    result = quantize_weight(weight, spec(bits=4, block_size="row"), "w")
    assert torch.allclose(result, weight, rtol=2**-10, atol=0)


def test_an_absmax_beyond_its_format_names_the_tensor() -> None:
    with pytest.raises(UnsupportedError, match=r"^h\.1\.weight: its largest weight"):
        quantize_weight(torch.full((2, 16), 7e4), spec("kmeans"), "h.1.weight")
