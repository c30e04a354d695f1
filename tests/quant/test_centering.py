"""Centering against its definition, written out block by block with numpy."""

import numpy as np
import pytest
import torch
from quant_specs import any_spec

from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS
from kbit.spec.errors import UnsupportedError
from kbit.spec.members import CENTERINGS, DATA_TYPES, DEFAULT_CENTERING
from kbit.spec.quant import QuantSpec

CENTERED = [name for name in CENTERINGS if name != DEFAULT_CENTERING]
TYPES = [name for name, member in DATA_TYPES.items() if name != "none" and member.scaling != "range"]


def shifted_weight(*shape: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)) + shift


def define(weight: torch.Tensor, block_size: int, centered: str, levels: np.ndarray) -> np.ndarray:
    """w - mean, over its absmax, to the nearest level, and back; mean and absmax as fp16 holds them."""
    flat = weight.numpy().reshape(-1)
    result = np.empty_like(flat)
    for start in range(0, flat.size, block_size):
        block = flat[start : start + block_size]
        source = block if centered == "block" else flat
        mean = np.float32(np.float16(np.float32(source.astype(np.float64).mean())))
        rest = block - mean
        absmax = np.float32(np.float16(np.abs(rest).max()))
        t = rest * (np.float32(1) / absmax)
        codes = np.abs(t[:, None] - levels[None]).argmin(axis=1)
        result[start : start + block_size] = levels[codes] * absmax + mean
    return result.reshape(weight.shape)


@pytest.mark.parametrize("centered", CENTERED)
@pytest.mark.parametrize("shape", [(8, 64), (5, 37)], ids=str)
def test_int_equals_the_definition(shape, centered):
    weight = shifted_weight(*shape, shift=0.7)
    spec = QuantSpec(data_type="int", bits=4, block_size=16, centered=centered)
    levels = np.arange(-7, 8, dtype=np.float32) / np.float32(7)
    assert np.array_equal(quantize_weight(weight, spec, "w").numpy(), define(weight, 16, centered, levels))


@pytest.mark.parametrize("centered", CENTERED)
@pytest.mark.parametrize("data_type", TYPES)
def test_what_is_common_to_all_weights_costs_nothing(data_type, centered):
    """Shifted by a number that 16 bits hold, a weight has the error of the one that is not; uncentered it has more."""
    spec = any_spec(data_type)
    plain = shifted_weight(16, 64)
    plain -= plain.view(-1, spec.block_size).mean(dim=1).repeat_interleave(spec.block_size).view(16, 64)
    errors = {}
    for name, shift, centering in (("plain", 0.0, centered), ("shifted", 8.0, centered), ("uncentered", 8.0, "none")):
        of = spec.model_copy(update={"centered": centering})
        weight = plain + shift
        errors[name] = (quantize_weight(weight, of, "w") - weight).square().mean().item()
    # The mean and the absmax are rounded to fp16 at 8, a thousandth of a weight's spread.
    assert errors["shifted"] == pytest.approx(errors["plain"], rel=0.05)
    # Tables that are learned hold the shift themselves.
    assert DATA_TYPES[data_type].table_in_paper_count or errors["uncentered"] > 2 * errors["plain"]


@pytest.mark.parametrize("data_type", [name for name in CODEBOOKS if DATA_TYPES[name].table])
def test_tables_are_learned_from_centered_weights(data_type):
    spec = any_spec(data_type).model_copy(update={"centered": "tensor"})
    weight = shifted_weight(16, 64)
    weight -= weight.mean()
    here, there = CODEBOOKS[data_type](spec, weight), CODEBOOKS[data_type](spec, weight + 4)
    assert here.shape == there.shape
    # Means and absmax are rounded to fp16, and a histogram has bins of 2^-11.
    assert (here - there).abs().max() <= 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("centered", CENTERED)
def test_equal_weights_become_their_mean(centered, dtype):
    weight = torch.full((3, 50), 0.5, dtype=dtype)
    spec = QuantSpec(data_type="float", bits=4, exponent_bits=2, block_size=64, centered=centered)
    assert torch.equal(quantize_weight(weight, spec, "w"), weight)


def test_a_mean_beyond_fp16_is_refused():
    spec = QuantSpec(data_type="int", bits=4, block_size=64, scale_format="fp32", centered="tensor")
    with pytest.raises(
        UnsupportedError, match=r"layer\.w: its largest mean has magnitude 1e\+06, but a mean is stored"
    ):
        quantize_weight(torch.full((2, 64), 1e6), spec, "layer.w")


def test_a_type_that_subtracts_a_minimum_takes_no_mean():
    with pytest.raises(ValueError, match=r"centered 'block' is not legal for data_type 'int-asym'.*accepted is none"):
        QuantSpec(data_type="int-asym", bits=4, block_size=64, centered="block")
