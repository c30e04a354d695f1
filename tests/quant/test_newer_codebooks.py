"""The data types beyond the paper: published tables, bitsandbytes, scipy, and definitions written otherwise."""

from fractions import Fraction

import bitsandbytes.functional as bnb
import pytest
import scipy.stats
import torch
from quant_specs import every_spec, slug
from torch import Tensor

from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS
from kbit.spec.quant import QuantSpec

WIDTHS = range(2, 9)
ULP = 2**-23


def book(data_type: str, bits: int, exponent_bits: int | None = None, block_size: int = 64) -> Tensor:
    spec = QuantSpec(data_type=data_type, bits=bits, exponent_bits=exponent_bits, block_size=block_size)
    return CODEBOOKS[data_type](spec, torch.zeros(1))


@pytest.fixture(scope="module")
def gaussian() -> Tensor:
    return torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))


def decibels(weight: Tensor, **options) -> float:
    """Signal to quantization noise."""
    noise = quantize_weight(weight, QuantSpec(**options), "w") - weight
    return 10 * (weight.square().mean() / noise.square().mean()).log10().item()


@pytest.mark.parametrize("spec", every_spec(data_types=("float-bnb039",)), ids=slug)
def test_float_bnb039_equals_bitsandbytes(spec: QuantSpec) -> None:
    mantissa_bits = spec.bits - 1 - spec.exponent_bits
    theirs = torch.unique(bnb.create_fp8_map(True, spec.exponent_bits, mantissa_bits, spec.bits).float())
    assert torch.allclose(CODEBOOKS["float-bnb039"](spec, torch.zeros(1)), theirs, rtol=2 * ULP, atol=0)


@pytest.mark.parametrize("spec", every_spec(data_types=("fp4-bnb",)), ids=slug)
def test_fp4_bnb_is_the_papers_printed_formula(spec: QuantSpec) -> None:
    """Appendix A: subnormal 2^-bias m / 2^M, normal 2^-(e - 1 - bias) (1 + m / 2^M), the fields read downward."""
    exponent_bits, mantissa_bits = spec.exponent_bits, spec.bits - 1 - spec.exponent_bits
    bias = 2 ** (exponent_bits - 1) + 1
    values = set()
    for m in range(2**mantissa_bits):
        values.add(Fraction(1, 2**bias) * Fraction(m, 2**mantissa_bits))
        for e in range(1, 2**exponent_bits):
            # Downward: field 1 is the largest exponent, so the smallest normal has field 2^E - 1.
            values.add(Fraction(2) ** -(e - 1 - bias) * (1 + Fraction(m, 2**mantissa_bits)))
    largest = max(values)
    levels = CODEBOOKS["fp4-bnb"](spec, torch.zeros(1))
    assert levels[levels >= 0].tolist() == [torch.tensor(float(v / largest)).item() for v in sorted(values)]
    assert torch.equal(levels, -levels.flip(0))


def test_fp4_bnb_is_the_table_of_bitsandbytes() -> None:
    theirs = torch.unique(bnb.get_4bit_type("fp4", device="cpu") + 0.0)
    assert torch.allclose(book("fp4-bnb", 4, 2), theirs, rtol=1e-6, atol=0)  # typed out to nine digits there


@pytest.mark.parametrize("bits", range(3, 8))
def test_minifloats_without_mantissa_coincide(bits: int) -> None:
    for variant in ("float-bnb039", "fp4-bnb"):
        assert torch.equal(book(variant, bits, bits - 1), book("float", bits, bits - 1))


def test_nf4_is_nf4() -> None:
    theirs = bnb.get_4bit_type("nf4", device="cpu")
    assert torch.allclose(book("nf", 4), theirs, rtol=0, atol=1e-6)
    theirs = torch.unique(bnb.create_normal_map(offset=0.9677083))
    assert torch.allclose(book("nf", 4), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize(
    ("data_type", "distribution"), [("nf", scipy.stats.norm), ("sf", scipy.stats.t(5))], ids=["nf", "sf"]
)
def test_quantile_levels_by_scipy(data_type: str, distribution, bits: int) -> None:
    h = 2 ** (bits - 1)
    tail = 0.5 * ((1 - 1 / (4 * h)) + (1 - 1 / (2 * (2 * h - 1))))
    positive = distribution.ppf(torch.linspace(tail, 0.5, h + 1, dtype=torch.float64)[:-1].numpy())
    negative = -distribution.ppf(torch.linspace(tail, 0.5, h, dtype=torch.float64)[:-1].numpy())
    expected = torch.tensor(sorted([*positive, *negative, 0.0])) / positive.max()
    assert book(data_type, bits).numel() == 2**bits
    # The quantile at 1/2 + 1e-2 loses some digits to cancellation; fp32 has 1.2e-7.
    assert torch.allclose(book(data_type, bits).double(), expected, rtol=1e-6, atol=1e-9)


def test_narrow_nf() -> None:
    assert book("nf", 2).tolist() == pytest.approx([-1, 0, 0.4358, 1], abs=5e-5)
    assert book("nf", 3).tolist() == pytest.approx([-1, -0.535, -0.247, 0, 0.183, 0.382, 0.623, 1], abs=5e-4)


# Measured by another implementation (numpy, fp32 absmax, a million values).
DECIBELS = {
    "int-asym": {(3, 64): 14.3, (4, 64): 21.0, (5, 64): 27.3, (8, 64): 45.6, (4, 1024): 18.0},
    "nf": {(3, 64): 14.1, (4, 64): 20.7, (5, 64): 26.1, (8, 64): 37.0, (4, 1024): 19.6},
    "bof": {(3, 64): 14.1, (4, 64): 21.0, (5, 64): 27.3, (4, 1024): 19.7},
    "bof-s": {(3, 64): 15.1, (4, 64): 21.3, (5, 64): 27.5, (4, 1024): 20.1},
}


@pytest.mark.parametrize("data_type", DECIBELS)
def test_gaussian_error(data_type: str, gaussian: Tensor) -> None:
    for (bits, block_size), expected in DECIBELS[data_type].items():
        found = decibels(gaussian, data_type=data_type, bits=bits, block_size=block_size)
        assert found == pytest.approx(expected, abs=0.06)  # one digit is known


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_int_asym_one_block_at_a_time(dtype: torch.dtype) -> None:
    weight = (torch.randn(6, 100, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.3).to(dtype)
    result = quantize_weight(weight, QuantSpec(data_type="int-asym", bits=3, block_size=64), "w")
    stored = torch.float16 if dtype == torch.float32 else dtype
    for ours, block in zip(result.view(-1).split(64), weight.view(-1).split(64), strict=True):
        minimum = block.min().to(stored).double()
        step = (block.max().double() - minimum).to(stored).double() / 7
        expected = minimum + step * ((block.double() - minimum) / step).round().clamp(0, 7)
        # Rounded to the weight's dtype: half an ulp of values below 1.
        assert torch.allclose(ours.double(), expected, rtol=0, atol={2: 2**-9, 4: 2**-23}[ours.element_size()])


def test_int_asym_of_blocks_that_hold_one_value() -> None:
    weight = torch.tensor([0.3, -0.7, 0.0, 5.0]).repeat_interleave(64).view(4, 64)
    result = quantize_weight(weight, QuantSpec(data_type="int-asym", bits=4, block_size=64), "w")
    # The stored minimum is within half an ulp; where it lies below the value, the stored range mends that.
    assert torch.allclose(result, weight, rtol=2**-11, atol=0)


# AF4 for blocks of 64 as published by its author, to five digits.
AF4_64 = [-1, -0.69441, -0.51244, -0.37370, -0.25608, -0.14982, -0.04935, 0]
AF4_64 += [0.04273, 0.12934, 0.21961, 0.31676, 0.42564, 0.55496, 0.72425, 1]


def test_af4_is_the_published_table() -> None:
    assert book("af", 4).tolist() == pytest.approx(AF4_64, abs=1e-5)  # half of which is the table's rounding
    # bitsandbytes has it in the order of its codes.
    theirs = bnb.get_4bit_type("af4", device="cpu", blocksize=64).sort().values
    assert torch.allclose(book("af", 4), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bits", [2, 4, 5])
@pytest.mark.parametrize("block_size", [16, 256])
def test_af_levels_are_medians_of_their_cells(block_size: int, bits: int, gaussian: Tensor) -> None:
    """On samples: half of a cell's values lie below its level; either half of the line without the level at 0."""
    t = (gaussian.view(-1, block_size) / gaussian.view(-1, block_size).abs().amax(1, keepdim=True)).flatten()
    for side in (1, -1):
        magnitudes = (side * t)[(side * t > 0) & (t.abs() < 1)]
        levels = (side * book("af", bits, block_size=block_size)).sort().values
        levels = levels[levels > 0]
        cells = torch.bucketize(magnitudes, (levels[1:] + levels[:-1]) / 2)
        for cell, level in enumerate(levels[:-1]):
            inside = magnitudes[cells == cell]
            # Six standard deviations of a median's share.
            assert (inside < level).float().mean().item() == pytest.approx(0.5, abs=3 / len(inside) ** 0.5)


@pytest.mark.parametrize("bits", [3, 5])
@pytest.mark.parametrize("block_size", [16, 256])
@pytest.mark.parametrize("data_type", ["bof", "bof-s"])
def test_bof_levels_are_centres_of_their_cells(data_type: str, block_size: int, bits: int, gaussian: Tensor) -> None:
    """A step of Lloyd's iteration on samples, each value weighted with its block's squared extreme, moves nothing."""
    blocks = gaussian.view(-1, block_size)
    extreme = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    t = blocks / (extreme if data_type == "bof-s" else extreme.abs())
    levels, weight = book(data_type, bits, block_size=block_size), extreme.square().expand_as(t).flatten()
    cells = torch.bucketize(t.flatten(), (levels[1:] + levels[:-1]) / 2)
    mass = torch.bincount(cells, weight)
    centres = torch.bincount(cells, weight * t.flatten()) / mass
    free = (levels != 0) & (levels.abs() != 1)
    assert free.sum() == 2**bits - (2 if data_type == "bof-s" else 3)
    widths = levels.diff().mean()
    # A centre of n values spread over a width has a standard error of width / sqrt(12 n); six of them.
    allowed = 6 * widths / (12 * torch.bincount(cells) / 4).sqrt() + 1e-5
    assert ((centres - levels).abs()[free] <= allowed[free]).all()


def test_bof_has_the_least_error(gaussian: Tensor) -> None:
    def found(data_type: str) -> float:
        return decibels(gaussian, data_type=data_type, bits=4, block_size=64)

    assert found("bof-s") > found("bof") > max(found(other) for other in ("nf", "af", "sf", "int", "quantile"))


def test_bof_s_keeps_the_extreme_of_either_sign() -> None:
    weight = torch.tensor([[0.5, -2.0, 1.0, 2.0], [0.5, -2.0, 1.0, -1.5]]).repeat(1, 16)
    result = quantize_weight(weight, QuantSpec(data_type="bof-s", bits=4, block_size=64), "w")
    assert (result[0][weight[0] == 2] == 2).all()  # of two extremes the positive one
    assert (result[1][weight[1] == -2] == -2).all()


@pytest.mark.parametrize("scale_format", ["dq", "e8m0"])
def test_bof_s_needs_a_scale_with_a_sign(scale_format: str) -> None:
    with pytest.raises(ValueError, match="'bof-s' needs one with a sign: accepted is 16-bit, fp16, bf16, fp32, e4m3"):
        QuantSpec(data_type="bof-s", bits=4, block_size=64, scale_format=scale_format)
