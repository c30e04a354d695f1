"""The formats of OCP and NVIDIA, element by element and block by block, against ml_dtypes."""

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import Tensor

from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS
from kbit.spec.quant import QuantSpec

ELEMENTS = {
    ("mxfp4", 4, None): ml_dtypes.float4_e2m1fn,
    ("mxfp6", 6, 2): ml_dtypes.float6_e2m3fn,
    ("mxfp6", 6, 3): ml_dtypes.float6_e3m2fn,
    ("mxfp8", 8, 4): ml_dtypes.float8_e4m3fn,
    ("mxfp8", 8, 5): ml_dtypes.float8_e5m2,
    ("nvfp4", 4, None): ml_dtypes.float4_e2m1fn,
}


def spec(data_type: str, bits: int, exponent_bits: int | None) -> QuantSpec:
    block_size = 16 if data_type == "nvfp4" else 32
    return QuantSpec(data_type=data_type, bits=bits, exponent_bits=exponent_bits, block_size=block_size)


def levels_of(of: QuantSpec) -> Tensor:
    return CODEBOOKS[of.data_type](of, torch.zeros(1))


@pytest.mark.parametrize("member", ELEMENTS, ids=str)
def test_levels_are_all_numbers_of_the_format(member: tuple) -> None:
    patterns = np.arange(2 ** member[1], dtype=np.uint8).view(ELEMENTS[member]).astype(np.float32)
    expected = sorted(set(patterns[np.isfinite(patterns)].tolist()))
    assert levels_of(spec(*member)).tolist() == expected


def slow_scale(of: QuantSpec, block: np.ndarray, whole: np.ndarray) -> np.float32:
    """The standard's scale of one block."""
    largest = float(levels_of(of).max())
    if of.data_type == "nvfp4":
        tensor_scale = np.float32(np.abs(whole).max()) / np.float32(largest * 448)
        block_scale = np.abs(block).max() / np.float32(largest) / tensor_scale
        return np.minimum(block_scale, 448).astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * tensor_scale
    exponent = np.frexp(np.abs(block).max())[1] - 1 - int(np.floor(np.log2(largest)))
    return np.float32(2.0**exponent)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("member", ELEMENTS, ids=str)
def test_blocks_equal_ml_dtypes_away_from_ties(member: tuple, dtype: torch.dtype) -> None:
    of, element = spec(*member), ELEMENTS[member]
    weight = (torch.randn(64, 96, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)
    levels = levels_of(of)
    ties = ((levels[1:] + levels[:-1]) / 2).numpy()
    whole = weight.float().numpy().reshape(-1)
    result = quantize_weight(weight, of, "w").view(-1)
    compared = 0
    for start in range(0, whole.size, of.block_size):
        block = whole[start : start + of.block_size]
        scale = slow_scale(of, block, whole)
        t = (block / scale).clip(-levels.max().item(), levels.max().item())
        expected = torch.from_numpy(t.astype(element).astype(np.float32) * scale).to(dtype)
        # A product with the reciprocal, as here, and a quotient, as there, differ by an ulp.
        away = torch.from_numpy(np.abs(t[:, None] - ties).min(1) > 1e-6 * np.abs(t))
        assert torch.equal(result[start : start + of.block_size][away], expected[away])
        compared += int(away.sum())
    assert compared > 0.9 * whole.size


@pytest.mark.parametrize("member", ELEMENTS, ids=str)
def test_blocks_of_zeros_and_of_tiny_numbers(member: tuple) -> None:
    weight = torch.zeros(4, 64)
    weight[1] = 1e-40  # scales end at 2^-127 for MX, and far above for NVFP4
    weight[2] = 1.0
    result = quantize_weight(weight, spec(*member), "w")
    assert (result[[0, 3]] == 0).all()
    assert (result[1] <= 2e-40).all()
    assert (result[2] - 1).abs().max() <= 0.07  # within half a step of a mantissa of two bits or a clipped E4M3 scale


def test_mx_saturates_between_six_and_eight() -> None:
    """The scale of an extreme just below a power of two leaves it above the largest element, as OCP has it."""
    weight = torch.full((1, 32), 0.999)
    assert quantize_weight(weight, spec("mxfp4", 4, None), "w")[0, 0] == 0.75  # 6 / 8


def test_nvfp4_error_on_normal_weights() -> None:
    weight = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
    error = (quantize_weight(weight, spec("nvfp4", 4, None), "w") - weight).square().mean().item()
    assert error == pytest.approx(0.0090, abs=0.0001)  # measured by another implementation, to two digits
