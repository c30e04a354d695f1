"""The data types: level sets against definitions written otherwise and bitsandbytes, and what all of them promise."""

from fractions import Fraction
from pathlib import Path

import bitsandbytes.functional as bnb
import pytest
import torch
from quant_specs import every_spec, slug
from torch import Tensor

from kbit.kernels.reference import dequantize, midpoints, quantize_codes, reciprocal
from kbit.quant import codebooks, rotations, scale_formats, solvers
from kbit.quant.codebooks import CODEBOOKS
from kbit.quant.rotations import ROTATIONS
from kbit.quant.scale_formats import SCALE_FORMATS
from kbit.quant.solvers import SOLVERS
from kbit.spec import members
from kbit.spec.quant import QuantSpec

WIDTHS = range(2, 9)
ULP = 2**-23  # of a level in [1/2, 1]; the maps of bitsandbytes are computed in fp32 throughout


def book(data_type: str, bits: int, exponent_bits: int | None = None, weight: Tensor | None = None) -> Tensor:
    spec = QuantSpec(data_type=data_type, bits=bits, exponent_bits=exponent_bits)
    return CODEBOOKS[data_type](spec, torch.zeros(1) if weight is None else weight)


def legal_exponents(data_type: str, bits: int) -> list[int | None]:
    return members.DATA_TYPES[data_type].legal_exponents(bits) or [None]


def normal(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


def oracle(levels: Tensor) -> Tensor:
    """A map of bitsandbytes without the zeros that pad it to 256 entries."""
    return torch.unique(levels.float())


def decode_minifloat(bits: int, exponent_bits: int) -> list[Fraction]:
    """All values of the IEEE-like format, pattern by pattern, over the largest."""
    mantissa_bits = bits - 1 - exponent_bits
    bias = 2 ** (exponent_bits - 1) - 1
    values = set()
    for pattern in range(2 ** (bits - 1)):
        exponent, mantissa = pattern >> mantissa_bits, pattern & (2**mantissa_bits - 1)
        fraction = Fraction(mantissa, 2**mantissa_bits) + (1 if exponent else 0)
        value = fraction * Fraction(2) ** (max(exponent, 1) - bias)
        values |= {value, -value}
    return [value / max(values) for value in sorted(values)]


def decode_dynamic(bits: int) -> list[float]:
    """All values of the dynamic exponent type, pattern by pattern: zeros, then a one, then a linear fraction."""
    values = {0.0, 1.0}
    for pattern in range(1, 2 ** (bits - 1)):
        text = format(pattern, f"0{bits - 1}b")
        zeros, fraction = text.index("1"), text[text.index("1") + 1 :]
        width = 0.9 / 2 ** len(fraction)
        value = (0.1 + width * (int(fraction or "0", 2) + 0.5)) * 10.0**-zeros
        values |= {value, -value}
    return sorted(values)


@pytest.mark.parametrize(
    ("package", "family", "implemented"),
    [
        (codebooks, members.DATA_TYPES, CODEBOOKS),
        (scale_formats, members.SCALE_FORMATS, SCALE_FORMATS),
        (solvers, members.SOLVERS, SOLVERS),
        (rotations, members.ROTATIONS, ROTATIONS),
    ],
    ids=["data types", "scale formats", "solvers", "rotations"],
)
def test_members_are_the_implementations(package, family, implemented) -> None:
    built = {name: member for name, member in family.items() if member.built and name != "none"}
    assert list(implemented) == list(built)
    files = {file.stem for file in Path(package.__file__).parent.glob("*.py")} - {"__init__"}
    assert {member.module for member in built.values()} == files  # no file that nothing names


@pytest.mark.parametrize(
    "spec", [spec for spec in every_spec() if members.DATA_TYPES[spec.data_type].table != "row"], ids=slug
)
def test_levels_are_strictly_ascending_in_unit_range(spec: QuantSpec) -> None:
    levels = CODEBOOKS[spec.data_type](spec, normal(5000).view(50, 100))
    assert levels.dtype == torch.float32
    # E5M2 keeps eight codes for infinity and NaN, and has one too many for 0. Far out a learned cell may be empty.
    assert 2**spec.bits - 9 <= levels.numel() <= 2**spec.bits
    assert (levels.diff() > 0).all()
    if members.DATA_TYPES[spec.data_type].table_in_paper_count:
        assert levels.abs().max() <= 1  # learned: neither 0 nor 1 need be among them
        return
    assert spec.has_own_scale_format or levels.abs().max() == 1
    assert (levels == 0).any()


@pytest.mark.parametrize("spec", every_spec(), ids=slug)
def test_codes_survive_a_round_trip(spec: QuantSpec) -> None:
    """What a code stands for is given that code again, whatever the scale: roundings reach no midpoint."""
    books = CODEBOOKS[spec.data_type](spec, normal(5000).view(50, 100))
    for levels in books if books.dim() == 2 else [books]:
        levels = torch.unique(levels)
        scale = normal(30, seed=1)[:, None].exp() * 0.01
        codes = torch.arange(len(levels), dtype=torch.uint8).expand(30, -1)
        weight = dequantize(codes, levels, scale)
        assert torch.equal(quantize_codes(weight * reciprocal(scale), midpoints(levels)), codes)


@pytest.mark.parametrize("bits", WIDTHS)
def test_int_levels(bits: int) -> None:
    n = 2 ** (bits - 1) - 1
    expected = torch.tensor([float(Fraction(i, n)) for i in range(-n, n + 1)])
    assert torch.equal(book("int", bits), expected)
    theirs = bnb.create_linear_map(True, bits)
    theirs = torch.where(theirs.abs() < 1e-7, 0.0, theirs)  # its middle level comes out as -4.5e-8 at 4 bits
    assert torch.allclose(book("int", bits), oracle(theirs), rtol=0, atol=ULP)


@pytest.mark.parametrize("bits", WIDTHS)
def test_float_levels(bits: int) -> None:
    for exponent_bits in legal_exponents("float", bits):
        expected = torch.tensor([float(value) for value in decode_minifloat(bits, exponent_bits)])
        assert torch.equal(book("float", bits, exponent_bits), expected)


def test_float_with_named_values() -> None:
    assert torch.equal(book("float", 4, 2)[7:], torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6]) / 6)  # OCP FP4
    assert book("float", 4, 3)[7:].tolist() == [0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]  # E3M0
    assert book("float", 8, 4)[128].item() == pytest.approx(
        2**-9 / 480, rel=ULP
    )  # E4M3, whose largest is 480 without NaN


@pytest.mark.parametrize("bits", WIDTHS)
def test_float_with_one_exponent_bit_is_int(bits: int) -> None:
    assert torch.equal(book("float", bits, 1), book("int", bits))


@pytest.mark.parametrize("bits", range(3, 8))
def test_float_without_mantissa_equals_bitsandbytes(bits: int) -> None:
    """Its present generator moves the subnormals; without a mantissa there are none, and all variants coincide."""
    expected = oracle(bnb.create_fp8_map(True, bits - 1, 0, bits))
    assert torch.allclose(book("float", bits, bits - 1), expected, rtol=ULP, atol=0)


@pytest.mark.parametrize("bits", WIDTHS)
def test_dynamic_levels(bits: int) -> None:
    levels = book("dynamic", bits)
    assert len(levels) == 2**bits
    assert torch.allclose(levels, torch.tensor(decode_dynamic(bits), dtype=torch.float32), rtol=ULP, atol=0)
    assert levels[0].item() == pytest.approx(-(1 - 0.45 / 2 ** (bits - 2)), rel=1e-6)
    expected = oracle(bnb.create_dynamic_map(True, bits - 1, bits))
    assert torch.allclose(levels, expected, rtol=4 * ULP, atol=0)  # its linspace accumulates fp32 roundings


def slow_quantile(values: list[float], bits: int) -> list[float]:
    """By the definition of a quantile: the smallest value at or below which lies a share p of all."""
    ascending, n = sorted(values), 2**bits - 1
    picked = []
    for i in range(n):
        p = Fraction(2 * i + 1, 2 * n)
        picked.append(next(x for rank, x in enumerate(ascending, 1) if Fraction(rank, len(ascending)) >= p))
    largest = max(abs(x) for x in picked)
    return sorted({(torch.tensor(x) / torch.tensor(largest)).item() + 0.0 for x in [*picked, 0.0]})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("n", [1, 2, 7, 100, 1023, 1024])
@pytest.mark.parametrize("bits", [2, 3, 5, 8])
def test_quantile_levels(bits: int, n: int, dtype: torch.dtype) -> None:
    weight = normal(n, seed=n).to(dtype)
    assert book("quantile", bits, weight=weight).tolist() == slow_quantile(weight.tolist(), bits)


@pytest.mark.parametrize(
    ("weight", "levels"),
    [
        (torch.zeros(100), [0.0]),
        (torch.full((100,), -0.0), [0.0]),
        (torch.full((100,), -3.0), [-1.0, 0.0]),
        (torch.full((100,), 1e-42), [0.0, 1.0]),
        (torch.zeros(0), [0.0]),
        (torch.tensor([-2.0, 2.0]).repeat(50), [-1.0, 0.0, 1.0]),
    ],
    ids=["zeros", "negative zeros", "constant", "subnormal", "empty", "two values"],
)
def test_quantile_removes_duplicates(weight: Tensor, levels: list[float]) -> None:
    assert book("quantile", 4, weight=weight).tolist() == levels


def test_quantile_levels_are_used_about_alike() -> None:
    weight = normal(150_000)
    levels = book("quantile", 4, weight=weight)
    assert len(levels) == 16
    codes = torch.bucketize(weight / weight.quantile(29 / 30), (levels[1:] + levels[:-1]) / 2)
    shares = torch.bincount(codes, minlength=16) / len(weight)
    # 15 quantiles split the weights evenly; 0 stands beside the median, so these two share one part.
    away_from_zero = [share for level, share in zip(levels.tolist(), shares.tolist(), strict=True) if abs(level) > 0.05]
    assert len(away_from_zero) == 14
    assert away_from_zero == pytest.approx([1 / 15] * 14, rel=0.25)  # cells end half-way between levels, not quantiles
