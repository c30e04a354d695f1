"""The scale formats: against ml_dtypes, against definitions in plain Python, and what the quantizer does with them."""

import math

import bitsandbytes.functional as bnb
import ml_dtypes
import numpy as np
import pytest
import torch
from quant_specs import FREE_SCALE_FORMATS
from torch import Tensor

from kbit.kernels import ops
from kbit.quant import quantize_weight
from kbit.quant.scale_formats import SCALE_FORMATS
from kbit.quant.scale_formats.e8m0 import power_of_two
from kbit.quant.scales import Scales
from kbit.spec.errors import UnsupportedError
from kbit.spec.quant import QuantSpec


def extents(n: int = 1000) -> Tensor:
    """Absmax values as those of a weight, powers of two and their neighbours, and 0; f32."""
    generator = torch.Generator().manual_seed(0)
    ordinary = torch.rand(n, generator=generator) * 0.1 + 1e-3
    powers = torch.ldexp(torch.ones(41), torch.arange(-20, 21))
    up, down = torch.tensor(torch.inf), torch.tensor(0.0)
    return torch.cat([ordinary, powers, powers.nextafter(up), powers.nextafter(down), torch.zeros(3)])


def spec(scale_format: str, bits: int = 4, block_size: int = 64, data_type: str = "int") -> QuantSpec:
    return QuantSpec(data_type=data_type, bits=bits, block_size=block_size, scale_format=scale_format)


def gaussian(rows: int = 64) -> Tensor:
    return torch.randn(rows, 256, generator=torch.Generator().manual_seed(1)) * 0.02


@pytest.mark.parametrize("scale_format", FREE_SCALE_FORMATS)
def test_the_stored_scale_is_the_one_that_quantizes(scale_format: str) -> None:
    weight = gaussian()
    scale = Scales(weight, spec(scale_format), "w").scale
    expected = ops.fake_quantize_scaled(weight, torch.arange(-7, 8) / 7, scale, None, 64)
    assert torch.equal(quantize_weight(weight, spec(scale_format), "w"), expected)
    absmax = weight.view(-1, 64).abs().amax(1)
    # Half a step of each format: 2^-11, 2^-9, 2^-4 of the value; the dynamic type's largest step is 0.9 / 64.
    errors = {"fp32": 0.0, "16-bit": 2**-11, "fp16": 2**-11, "bf16": 2**-8, "e4m3": 2**-4, "dq": 0.01, "e8m0": 1.0}
    assert ((scale / absmax - 1).abs() <= errors[scale_format]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("scale_format", "numpy_dtype"), [("fp16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_16_bit_formats_whatever_the_weights(scale_format: str, numpy_dtype: type, dtype: torch.dtype) -> None:
    weight = gaussian().to(dtype)
    expected = weight.float().view(-1, 64).abs().amax(1).numpy().astype(numpy_dtype).astype(np.float32)
    assert Scales(weight, spec(scale_format), "w").scale.tolist() == expected.tolist()


def test_e8m0_is_the_smallest_power_of_two_that_clips_nothing() -> None:
    stored = SCALE_FORMATS["e8m0"].store(extents(), 1.0)
    for extent, scale in zip(extents().tolist(), stored.tolist(), strict=True):
        assert scale == (2.0 ** math.ceil(math.log2(extent)) if extent else 0.0)
    as_byte = stored.numpy().astype(ml_dtypes.float8_e8m0fnu).astype(np.float32)
    assert (as_byte[stored > 0] == stored[stored > 0].numpy()).all()  # every one of them is a number of the format


@pytest.mark.parametrize("largest", [6.0, 7.5, 28.0, 448.0, 57344.0])
def test_mx_is_ocps_rule(largest: float) -> None:
    stored = SCALE_FORMATS["mx"].store(extents(), largest)
    for extent, scale in zip(extents().double().tolist(), stored.tolist(), strict=True):
        # The exponent field of the double is the floor of its logarithm, where log2 itself rounds up.
        floor = math.frexp(extent)[1] - 1
        assert scale == (2.0 ** (floor - int(math.log2(largest))) if extent else 0.0)
    assert (extents() <= 2 ** math.ceil(math.log2(largest)) * stored).all()


def test_every_power_of_two_of_the_byte_is_exact() -> None:
    exponents = torch.arange(-130, 131, dtype=torch.int32)
    expected = [2.0 ** min(max(exponent, -127), 127) for exponent in exponents.tolist()]
    assert power_of_two(exponents, torch.ones(len(exponents))).tolist() == expected


@pytest.mark.parametrize("name", ["e8m0", "mx"])
def test_powers_of_two_stay_within_a_byte(name: str) -> None:
    extent = torch.tensor([1e-45, 1e-38, 3e38, 0.0])
    stored = SCALE_FORMATS[name].store(extent, 1.0)
    assert stored[0] == 2.0**-127
    assert stored[2] == 2.0**127
    assert stored[3] == 0
    assert torch.isfinite(stored).all()


@pytest.mark.parametrize("largest", [1.0, 6.0])
def test_e4m3_against_ml_dtypes(largest: float) -> None:
    signed = extents() * torch.tensor([1.0, -1.0]).repeat(len(extents()))[: len(extents())]
    stored = SCALE_FORMATS["e4m3"].store(signed, largest)
    tensor_scale = np.float32(2.0**20 * (1 + 2**-23) / (448 * largest))  # the largest extent there is
    elements = np.clip(signed.numpy() / np.float32(largest) / tensor_scale, -448, 448)
    expected = elements.astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * tensor_scale
    assert np.array_equal(stored.numpy(), expected)
    assert (stored == 0).any()  # blocks too small beside the largest


def test_dq_against_bitsandbytes() -> None:
    """Its own double quantization of the absmax of 4-bit blocks: mean, 8-bit dynamic map, blocks of 256."""
    weight = gaussian(rows=256)
    _, state = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=True)
    theirs = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
    ours = SCALE_FORMATS["dq"].store(weight.view(-1, 64).abs().amax(1), 1.0)
    # Its CPU kernel snaps to a grid of 65,536 points first: a value next to a midpoint may take the other level.
    step = state.state2.absmax.max() * 0.9 / 64
    assert ((ours - theirs).abs() < 1e-7).float().mean() > 0.99
    assert ((ours - theirs).abs() <= step).all()


def test_dq_of_a_block_of_zeros_is_zeros() -> None:
    weight = gaussian()
    weight[3] = 0.0
    weight[5] *= 1e-6
    result = quantize_weight(weight, spec("dq"), "w")
    assert (result[3] == 0).all()
    assert (SCALE_FORMATS["dq"].store(weight.view(-1, 64).abs().amax(1), 1.0) >= 0).all()


def test_8_bit_scales_cost_little() -> None:
    """Squared errors of 4-bit integers with one byte per scale: within a few per cent of 16-bit scales."""
    weight = gaussian(rows=512)

    def error(scale_format: str) -> float:
        return (quantize_weight(weight, spec(scale_format), "w") - weight).square().mean().item()

    assert error("16-bit") == pytest.approx(error("fp32"), rel=1e-3)
    assert error("dq") == pytest.approx(error("fp32"), rel=0.02)
    assert error("e4m3") == pytest.approx(error("fp32"), rel=0.05)
    assert error("e8m0") > 1.3 * error("fp32")  # scales are up to twice as large as they need be


def test_a_scale_beyond_its_format_is_unsupported() -> None:
    weight = torch.full((2, 64), 70_000.0)
    for scale_format in ("fp16", "16-bit"):
        with pytest.raises(UnsupportedError, match=r"^w: its largest weight has magnitude 70000, but an absmax"):
            quantize_weight(weight, spec(scale_format), "w")
    for scale_format in ("bf16", "fp32", "dq", "e8m0", "e4m3"):
        assert torch.isfinite(quantize_weight(weight, spec(scale_format), "w")).all()


def test_a_format_of_a_standard_is_its_own() -> None:
    with pytest.raises(
        ValueError, match="scale_format 'mx' is not legal here: it belongs to data types of its standard"
    ):
        spec("mx")
