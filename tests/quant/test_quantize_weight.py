"""One weight through one spec: errors on Gaussian weights, an independent quantizer, what it refuses."""

from dataclasses import replace

import bitsandbytes.functional as bnb
import pytest
import torch
from quant_specs import any_spec

from kbit.kernels import ops
from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS
from kbit.spec import members
from kbit.spec.errors import UnsupportedError, UserError
from kbit.spec.quant import CONTROL, QuantSpec


def spec(
    data_type: str, bits: int, exponent_bits: int | None = None, block_size: int | str = 64, **options
) -> QuantSpec:
    return QuantSpec(data_type=data_type, bits=bits, exponent_bits=exponent_bits, block_size=block_size, **options)


@pytest.fixture(scope="module")
def gaussian() -> torch.Tensor:
    return torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))


# Mean squared error on N(0, 1), measured on 4.2 million samples by another implementation (numpy, fp32 absmax).
ERRORS_AT_64 = {
    ("int", None): {2: 0.515, 3: 0.0631, 4: 0.01158, 5: 0.00252, 6: 5.91e-4, 7: 1.43e-4, 8: 3.52e-5},
    ("dynamic", None): {2: 0.187, 3: 0.0630, 4: 0.01944, 5: 0.00535, 6: 1.40e-3, 7: 3.58e-4, 8: 9.04e-5},
    ("quantile", None): {2: 0.515, 3: 0.0500, 4: 0.00953, 5: 0.00257, 6: 9.04e-4, 7: 3.92e-4, 8: 2.03e-4},
    ("float", 2): {3: 0.0512, 4: 0.01118, 5: 0.00269},
    ("float", 3): {4: 0.03542, 5: 0.00997, 6: 2.50e-3, 7: 6.14e-4, 8: 1.52e-4},
    ("float", 4): {7: 2.50e-3, 8: 6.14e-4},
}
BLOCKS = (16, 32, 64, 128, 256, 1024, 4096)
ERRORS_AT_4_BITS = {
    ("int", None): (0.0073, 0.0094, 0.0116, 0.0138, 0.0160, 0.0204, 0.0249),
    ("float", 2): (0.0089, 0.0102, 0.0112, 0.0119, 0.0124, 0.0133, 0.0142),
    ("float", 3): (0.0282, 0.0326, 0.0354, 0.0371, 0.0379, 0.0382, 0.0379),
    ("quantile", None): (0.0073, 0.0086, 0.0095, 0.0103, 0.0110, 0.0123, 0.0138),
}


def mean_squared_error(weight: torch.Tensor, of: QuantSpec) -> float:
    return (quantize_weight(weight, of, "weight") - weight).square().mean().item()


@pytest.mark.parametrize("member", ERRORS_AT_64, ids=str)
def test_gaussian_error_by_width(member: tuple[str, int | None], gaussian: torch.Tensor) -> None:
    data_type, exponent_bits = member
    # 1 % covers the three digits of the table and the spread of a million samples (0.4 % was the largest seen); the
    # outermost quantile of 255 moves with the sample, and the 8-bit error with it.
    tolerance = 0.02 if data_type == "quantile" else 0.01
    errors = {bits: mean_squared_error(gaussian, spec(data_type, bits, exponent_bits)) for bits in ERRORS_AT_64[member]}
    assert errors == pytest.approx(ERRORS_AT_64[member], rel=tolerance)


@pytest.mark.parametrize("member", ERRORS_AT_4_BITS, ids=str)
@pytest.mark.parametrize("block_size", BLOCKS)
def test_gaussian_error_by_block_size(block_size, member, gaussian) -> None:
    expected = ERRORS_AT_4_BITS[member][BLOCKS.index(block_size)]
    # Two or three digits are known (0.7 % at worst), and 256 blocks of 4096 leave 0.4 % of spread.
    assert mean_squared_error(gaussian, spec(member[0], 4, member[1], block_size)) == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize("block_size", [64, 100, 1024, 1 << 18])
@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("data_type", ["int", "dynamic"])
def test_agrees_with_bitsandbytes(data_type: str, bits: int, block_size: int, gaussian) -> None:
    weight = gaussian[:256].half().float()  # so that our fp16 absmax is its fp32 absmax
    ours = spec(data_type, bits, block_size=block_size)
    levels = CODEBOOKS[data_type](ours, weight)
    # It takes 256 entries, the unused ones at 0, and caches tables by pointer: one code tensor lives through the test.
    n_negative = int((levels < 0).sum())
    code = torch.cat([levels[:n_negative], torch.zeros(256 - len(levels)), levels[n_negative:]])
    codes, state = bnb.quantize_blockwise(weight, code=code, blocksize=block_size)
    theirs = bnb.dequantize_blockwise(codes, state)
    result = quantize_weight(weight, ours, "weight")

    absmax = state.absmax.repeat_interleave(block_size)[: weight.numel()].view(weight.shape)
    t = weight / absmax
    midpoints = (levels[1:] + levels[:-1]) / 2
    distance = (t[..., None] - midpoints).abs().amin(-1) if bits < 8 else nearest_distance(t, midpoints)
    away = distance > 1.6e-5  # its CPU kernel first snaps t to a grid of 65,536 points
    assert away.float().mean() > 0.99
    assert torch.allclose(result[away], theirs[away], rtol=1e-6, atol=0)


def nearest_distance(t: torch.Tensor, midpoints: torch.Tensor) -> torch.Tensor:
    """|t - nearest midpoint|, f32 of the shape of t, without a t x midpoints matrix."""
    above = torch.bucketize(t, midpoints)
    lower, upper = midpoints[(above - 1).clamp_min(0)], midpoints[above.clamp_max(len(midpoints) - 1)]
    return torch.minimum((t - lower).abs(), (t - upper).abs())


@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
def test_arithmetic_equals_the_4_bit_kernel_of_bitsandbytes(quant_type: str, gaussian) -> None:
    """Its 4-bit kernel is exact: given its levels, the operator must give its result, rounding for rounding."""
    weight = gaussian[:256].half().float()
    levels = torch.unique(bnb.get_4bit_type(quant_type, device="cpu") + 0.0)
    packed, state = bnb.quantize_4bit(weight, blocksize=64, quant_type=quant_type)
    theirs = bnb.dequantize_4bit(packed, state)
    result = ops.fake_quantize(weight, levels, 64, torch.float16)
    # NF4's ties do not occur in this sample; FP4's tie towards zero, ours down.
    tie = torch.isin(weight / absmax_of(weight), (levels[1:] + levels[:-1]) / 2)
    assert tie.float().mean() < 1e-3
    assert torch.allclose(result[~tie], theirs[~tie], rtol=2**-22, atol=0)  # its FP4 levels are typed out to 9 digits


def absmax_of(weight: torch.Tensor) -> torch.Tensor:
    blocks = weight.view(-1, 64)
    return blocks.abs().amax(1, keepdim=True).expand_as(blocks).reshape(weight.shape)


@pytest.mark.parametrize(
    ("block_size", "weights_per_block"), [("row", 96), ("tensor", 96 * 40), (64, 64), (1 << 20, 96 * 40)]
)
def test_granularity(block_size: int | str, weights_per_block: int) -> None:
    weight = torch.randn(40, 96, generator=torch.Generator().manual_seed(0))
    result = quantize_weight(weight, spec("int", 4, block_size=block_size), "weight")
    for ours, block in zip(
        result.view(-1).split(weights_per_block), weight.view(-1).split(weights_per_block), strict=True
    ):
        step = block.abs().max().half().float() / 7
        assert torch.equal(ours, ops.fake_quantize(block[None], torch.arange(-7, 8) / 7, len(block), torch.float16)[0])
        assert (ours - block).abs().max() <= step * 0.5001  # half a step, and the rounding of a stored absmax


def test_control_is_the_weight_itself() -> None:
    weight = torch.randn(4, 4)
    assert quantize_weight(weight, CONTROL, "weight") is weight


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bit_weights_keep_their_absmax(dtype: torch.dtype) -> None:
    weight = (torch.randn(16, 64, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)
    result = quantize_weight(weight, spec("int", 3), "weight")
    assert result.dtype == dtype
    assert torch.equal(result.abs().amax(1), weight.abs().amax(1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_names_a_tensor_that_is_not_finite(data_type: str, bad: float) -> None:
    weight = torch.randn(8, 16)
    weight[3, 5:7] = bad
    with pytest.raises(UserError, match=r"^h\.1\.mlp\.weight: 2 of 128 weights are NaN or infinite") as caught:
        quantize_weight(weight, any_spec(data_type), "h.1.mlp.weight")
    assert not isinstance(caught.value, UnsupportedError)  # no spec could take it: the model is broken


def test_names_a_tensor_whose_absmax_overflows() -> None:
    weight = torch.full((2, 4), 65_519.0)
    assert quantize_weight(weight, spec("int", 4), "w").max() == 65_504  # the nearest fp16
    with pytest.raises(
        UnsupportedError, match=r"^w: its largest weight has magnitude 70000, but an absmax is stored as float16, which"
    ):
        quantize_weight(weight + 4481, spec("int", 4), "w")
    assert quantize_weight((weight + 4481).bfloat16(), spec("int", 4), "w").max() == torch.tensor(70_000).bfloat16()


def test_refuses_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(members.OUTLIER_RULES, "proxy", replace(members.OUTLIER_RULES["proxy"], built=False))
    with pytest.raises(UserError, match="outlier_rule=proxy"):
        quantize_weight(torch.zeros(2, 2), spec("int", 4, outlier_fraction=0.02), "w")


@pytest.mark.parametrize("shape", [(0, 8), (8, 0)])
def test_empty_weight(shape: tuple[int, int]) -> None:
    for data_type in CODEBOOKS:
        assert quantize_weight(torch.empty(shape), any_spec(data_type, "row"), "w").shape == shape
