"""What holds for every weight and every data type: a new one is tested by being listed."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kbit.kernels.reference import block_absmax
from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS
from kbit.quant.quantize import weights_per_block
from kbit.spec.members import DATA_TYPES
from kbit.spec.quant import QuantSpec

BLOCK_SIZES = [1, 3, 16, 64, "row", "tensor"]
SUBNORMAL = 2.0**-14
"""The smallest normal fp16: below it an absmax loses digits."""


@st.composite
def specs(draw: st.DrawFn, data_types: tuple[str, ...] = tuple(CODEBOOKS)) -> QuantSpec:
    data_type = draw(st.sampled_from(data_types))
    bits = draw(st.sampled_from(DATA_TYPES[data_type].bits))
    exponent_bits = draw(st.integers(1, min(bits - 1, 6))) if DATA_TYPES[data_type].has_exponent_bits else None
    block_size = draw(st.sampled_from(BLOCK_SIZES))
    return QuantSpec(data_type=data_type, bits=bits, exponent_bits=exponent_bits, block_size=block_size)


shapes = st.tuples(st.integers(1, 7), st.integers(1, 40))
magnitudes = (
    st.floats(-60_000, 60_000, width=32) | st.floats(-1, 1, width=32) | st.sampled_from([0.0, -0.0, 1e-6, 1e-9, 1e-42])
)
weights = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=magnitudes)).map(torch.from_numpy)
# The same examples every time, as `make test` must not depend on luck; a busy machine is no fault of a strategy.
thorough = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def stored_absmax(weight: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    """The stored value each weight is scaled by, f32 of the weight's shape."""
    block = weights_per_block(weight, spec)
    return block_absmax(weight, block).half().float().repeat_interleave(block)[: weight.numel()].view(weight.shape)


@given(weights, specs())
@thorough
def test_every_weight_takes_its_nearest_level(weight: torch.Tensor, spec: QuantSpec) -> None:
    result = quantize_weight(weight, spec, "w").double()
    absmax = stored_absmax(weight, spec).double()
    levels = CODEBOOKS[spec.data_type](spec, weight).double()
    errors = (levels * absmax[..., None] - weight.double()[..., None]).abs()
    # t, the midpoint and y are each rounded to fp32: an error of a few 2^-24 of the absmax, no matter how near the tie.
    slack = 4 * 2.0**-24 * absmax.clamp_min(weight.abs().double())
    assert ((result - weight).abs() <= errors.amin(-1) + slack).all()


@given(weights, specs())
@thorough
def test_results_lie_on_levels(weight: torch.Tensor, spec: QuantSpec) -> None:
    result, absmax = quantize_weight(weight, spec, "w"), stored_absmax(weight, spec)
    levels = CODEBOOKS[spec.data_type](spec, weight)
    assert (result[..., None] == levels * absmax[..., None]).any(-1).all()


@given(weights, specs(("int", "float")))
@thorough
def test_quantizing_twice_changes_nothing(weight: torch.Tensor, spec: QuantSpec) -> None:
    """For fixed codebooks with -1 and 1: the extreme of a block is then a level, and the absmax finds itself again."""
    once = quantize_weight(weight, spec, "w")
    assert torch.equal(quantize_weight(once, spec, "w"), once)


@given(weights, specs(), st.integers(-20, 10))
@thorough
def test_powers_of_two_pass_through(weight: torch.Tensor, spec: QuantSpec, exponent: int) -> None:
    weight = torch.where(weight.abs() < 2.0**-60, 0.0, weight)  # so that no product or quotient is subnormal in fp32
    scaled = weight * 2.0**exponent
    for side in (weight, scaled):
        absmax = stored_absmax(side, spec)
        assume((((absmax >= SUBNORMAL) & (absmax < 60_000)) | (block_extreme(side, spec) == 0)).all())
    expected = quantize_weight(weight, spec, "w") * 2.0**exponent
    assert torch.equal(quantize_weight(scaled, spec, "w"), expected)


def block_extreme(weight: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    """Exact absmax of each weight's block, of the weight's shape."""
    block = weights_per_block(weight, spec)
    return block_absmax(weight, block).repeat_interleave(block)[: weight.numel()].view(weight.shape)


@given(weights, specs(("int", "float", "dynamic")), st.randoms(use_true_random=False))
@thorough
def test_short_last_block_stands_alone(weight: torch.Tensor, spec: QuantSpec, random) -> None:
    """Blocks do not see each other: cut anywhere between two blocks, both sides come out as before."""
    block = weights_per_block(weight, spec)
    flat = weight.view(1, -1)
    cut = block * random.randint(0, flat.numel() // block)
    numbered = spec.model_copy(update={"block_size": block})
    whole = quantize_weight(weight, spec, "w").view(-1)
    apart = [quantize_weight(side, numbered, "w").view(-1) for side in (flat[:, :cut], flat[:, cut:])]
    assert torch.equal(whole, torch.cat(apart))


@pytest.mark.parametrize("data_type", CODEBOOKS)
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_zeros_stay_zeros(data_type: str, block_size: int | str) -> None:
    exponent_bits = 2 if DATA_TYPES[data_type].has_exponent_bits else None
    spec = QuantSpec(data_type=data_type, bits=4, exponent_bits=exponent_bits, block_size=block_size)
    assert torch.equal(quantize_weight(torch.zeros(5, 7), spec, "w"), torch.zeros(5, 7))
    tiny = torch.full((5, 7), -1e-9)  # rounds to 0 in fp16
    assert torch.equal(quantize_weight(tiny, spec, "w").view(torch.int32), torch.zeros(5, 7, dtype=torch.int32))
