"""Bit counts, against sums done by hand and the paper's own figures."""

from dataclasses import replace

import pytest

from kbit.spec import members
from kbit.spec.errors import UserError
from kbit.spec.footprint import bits_per_param, count_footprint
from kbit.spec.quant import CONTROL, QuantSpec


def spec(bits: int = 4, block_size: int | str = 64, data_type: str = "int", **options) -> QuantSpec:
    return QuantSpec(data_type=data_type, bits=bits, block_size=block_size, **options)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (spec(3, 64), 3.25),
        (spec(4, 64), 4.25),
        (spec(4, 1024), 4.015625),
        (spec(8, 4096), 8.00390625),
        (spec(4, 100), 4.16),
        (spec(4, "tensor"), 4.0),
        (spec(4, "row"), 4.0),
        (CONTROL, 16.0),
        (spec(4, "tensor", outlier_fraction=0.02), 4.24),  # the paper: +0.24 at 4 bits
        (spec(3, "tensor", outlier_fraction=0.02), 3.26),  # and +0.26 at 3
        (spec(4, 64, centered="block"), 4.5),
        (spec(4, 64, centered="tensor"), 4.25),
        (spec(4, 64, data_type="quantile"), 4.25),
        (spec(4, 64, scale_format="fp16"), 4.25),
        (spec(4, 64, scale_format="bf16"), 4.25),
        (spec(4, 64, scale_format="fp32"), 4.5),
        (spec(4, 64, scale_format="dq"), 4.126953125),  # QLoRA: 0.127 bits
        (spec(3, 16, scale_format="dq"), 3.5078125),
        (spec(4, 32, scale_format="e8m0"), 4.25),
        (spec(4, 16, scale_format="e4m3"), 4.5),
        (spec(4, 64, data_type="int-asym"), 4.5),  # 32 / B
        (spec(4, 64, data_type="int-asym", scale_format="dq"), 4.376953125),
        *[(spec(4, 64, data_type=name), 4.25) for name in ("nf", "sf", "af", "bof", "bof-s")],
        *[(spec(4, 64, data_type=name, exponent_bits=2), 4.25) for name in ("float", "float-bnb039", "fp4-bnb")],
        (spec(4, 32, data_type="mxfp4"), 4.25),
        (spec(6, 32, data_type="mxfp6", exponent_bits=2), 6.25),
        (spec(8, 32, data_type="mxfp8", exponent_bits=4), 8.25),
        (spec(4, 16, data_type="nvfp4"), 4.5),
    ],
    ids=lambda value: value.slug if isinstance(value, QuantSpec) else None,
)
def test_bits_per_param_is_the_papers_count(of: QuantSpec, expected: float) -> None:
    assert bits_per_param(of) == pytest.approx(expected, rel=1e-15)


LINEARS = [(96, 32), (32, 32), (5, 7)]
WEIGHTS = 96 * 32 + 32 * 32 + 35
OTHERS = 1000


@pytest.mark.parametrize(
    ("of", "body_bits", "per_param"),
    [
        (spec(4, 64), WEIGHTS * 4 + (48 + 16 + 1) * 16, 4.25),  # 35 weights are one short block
        (spec(3, 16), WEIGHTS * 3 + (192 + 64 + 3) * 16, 4.0),  # 35 weights are 16 + 16 + 3
        (spec(4, "row"), WEIGHTS * 4 + (96 + 32 + 5) * 16, 4 + 16 * 133 / WEIGHTS),
        (spec(4, "tensor"), WEIGHTS * 4 + 3 * 16, 4 + 16 * 3 / WEIGHTS),
        (spec(3, 64, data_type="quantile"), WEIGHTS * 3 + 65 * 16 + 3 * 8 * 16, 3.25),
        (spec(8, 64, data_type="dynamic"), WEIGHTS * 8 + 65 * 16, 8.25),
        (spec(4, 64, scale_format="fp32"), WEIGHTS * 4 + 65 * 32, 4.5),
        # 48, 16 and 1 scales: each matrix has one block of up to 256 of them, with 32 bits, and a mean.
        (spec(4, 64, scale_format="dq"), WEIGHTS * 4 + 65 * 8 + 3 * 32 + 3 * 32, 4.126953125),
        # 3072, 1024 and 35 scales: 12, 4 and 1 blocks of them.
        (spec(4, 1, scale_format="dq"), WEIGHTS * 4 + WEIGHTS * 8 + 17 * 32 + 3 * 32, 12.125),
        (spec(4, 64, scale_format="e4m3"), WEIGHTS * 4 + 65 * 8 + 3 * 32, 4.125),
        (spec(4, 64, scale_format="e8m0"), WEIGHTS * 4 + 65 * 8, 4.125),
        (spec(4, 64, data_type="int-asym"), WEIGHTS * 4 + 65 * 32, 4.5),
        # Tables of 16 levels of 16 bits: three tensors, or 133 rows. The paper's count holds them too.
        (spec(4, 64, data_type="kmeans"), WEIGHTS * 4 + 65 * 16 + 3 * 256, 4.25 + 3 * 256 / WEIGHTS),
        (spec(4, 64, data_type="kmeans-row"), WEIGHTS * 4 + 65 * 16 + 133 * 256, 4.25 + 133 * 256 / WEIGHTS),
        (spec(4, 16, data_type="nvfp4"), WEIGHTS * 4 + 259 * 8 + 3 * 32, 4.5),
        # A mean per block, or one per tensor, which the paper's count takes for nothing.
        (spec(4, 64, centered="block"), WEIGHTS * 4 + 65 * 32, 4.5),
        (spec(4, 64, centered="tensor"), WEIGHTS * 4 + 65 * 16 + 3 * 16, 4.25),
        # 10 % of 32, 32 and 7 inputs are 3, 3 and 1: their weights at 16 bits, and a bit for each input dimension.
        (
            spec(4, 64, outlier_fraction=0.1),
            WEIGHTS * 4 + 65 * 16 + 12 * (3 * 96 + 3 * 32 + 1 * 5) + 32 + 32 + 7,
            4.25 + 0.1 * 12,
        ),
        (
            spec(3, 64, outlier_fraction=0.02, outlier_rule="own-std"),  # 0.64 of 32 is 1, 0.14 of 7 is none
            WEIGHTS * 3 + 65 * 16 + 13 * (96 + 32) + 32 + 32,
            3.25 + 0.02 * 13,
        ),
        (CONTROL, WEIGHTS * 16, 16.0),
    ],
    ids=lambda value: value.slug if isinstance(value, QuantSpec) else None,
)
def test_footprint_counts_what_is_stored(of: QuantSpec, body_bits: int, per_param: float) -> None:
    footprint = count_footprint(of, iter(LINEARS), OTHERS)
    assert footprint.body_bits == body_bits
    assert footprint.total_bits == body_bits + OTHERS * 16
    assert footprint.bits_per_param == pytest.approx(per_param, rel=1e-15)
    assert (footprint.quantized_parameters, footprint.parameters) == (WEIGHTS, WEIGHTS + OTHERS)
    assert all(isinstance(bits, int) for bits in (footprint.body_bits, footprint.total_bits))


def test_counts_stay_exact_beyond_float() -> None:
    """175 billion weights and more: whole numbers, not floats that round above 2^53."""
    footprint = count_footprint(spec(3, 64), [(2**30 + 1, 2**24 + 1)], 1)
    weights = (2**30 + 1) * (2**24 + 1)
    assert footprint.total_bits == 3 * weights + 16 * -(-weights // 64) + 16


def test_a_model_without_linears() -> None:
    footprint = count_footprint(spec(4, "row"), [], 10)
    assert (footprint.body_bits, footprint.total_bits, footprint.bits_per_param) == (0, 160, 4.0)


def test_refuses_what_it_cannot_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(members.OUTLIER_RULES, "proxy", replace(members.OUTLIER_RULES["proxy"], built=False))
    with pytest.raises(UserError, match="outlier_rule=proxy"):
        count_footprint(spec(4, 64, outlier_fraction=0.02), LINEARS, 0)
