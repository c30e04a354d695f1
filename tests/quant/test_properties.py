"""What holds for every weight and every data type: a new one is tested by being listed."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from quant_specs import BLOCK_SIZES, DATA_FREE_SOLVERS, SOLVER_NAMES, any_spec, changed, specs, statistics_of

from kbit.kernels import reference
from kbit.kernels.reference import block_absmax
from kbit.quant import quantize_weight
from kbit.quant.blocks import weights_per_block
from kbit.quant.codebooks import CODEBOOKS
from kbit.quant.quantize import largest_level
from kbit.quant.rotations import ROTATIONS
from kbit.quant.scale_formats.sixteen_bit import dtype as sixteen_bit
from kbit.quant.scales import Scales
from kbit.quant.solvers import hqq
from kbit.spec.errors import UnsupportedError
from kbit.spec.members import DATA_TYPES
from kbit.spec.quant import QuantSpec

SUBNORMAL = 2.0**-14
"""The smallest normal fp16: below it an absmax loses digits."""


FIXED = tuple(name for name, member in DATA_TYPES.items() if name in CODEBOOKS and not member.table)
"""Data types whose levels do not depend on the weights."""
LEARNED = tuple(name for name in CODEBOOKS if DATA_TYPES[name].table)
"""Those whose levels do."""
NO_MINIMUM = tuple(name for name in CODEBOOKS if DATA_TYPES[name].scaling != "range")
"""Those whose levels are multiples of the scale."""
LOCAL = tuple(name for name in FIXED if DATA_TYPES[name].own_scale_format != "e4m3")
"""Those of them whose blocks share nothing."""
shapes = st.tuples(st.integers(1, 7), st.integers(1, 40))
magnitudes = (
    st.floats(-30_000, 30_000, width=32) | st.floats(-1, 1, width=32) | st.sampled_from([0.0, -0.0, 1e-6, 1e-9, 1e-42])
)
weights = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=magnitudes)).map(torch.from_numpy)
# The same examples every time, as `make test` must not depend on luck; a busy machine is no fault of a strategy.
thorough = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def stored_numbers(weight: torch.Tensor, spec: QuantSpec) -> tuple[torch.Tensor, Scales, torch.Tensor, torch.Tensor]:
    """The codebook, and the scale and offset of every block that the spec's solver stores."""
    codebook = CODEBOOKS[spec.data_type](spec, weight)
    scales = Scales(weight, spec, "w", largest_level(spec, codebook))
    if spec.solver != "hqq":
        return codebook, scales, scales.scale, scales.offset
    blocks = hqq.Blocks(weight.view(-1), weight.shape[1], codebook, scales)
    return codebook, scales, *blocks.split(hqq.least_errors(blocks))


def levels_of_weights(weight: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    """What each weight may become, before it is rounded, f64 [out, in, L]."""
    codebook, scales, scale, offset = stored_numbers(weight, spec)

    def spread(of_blocks: torch.Tensor) -> torch.Tensor:
        return of_blocks.repeat_interleave(scales.block_size)[: weight.numel()].view(*weight.shape, 1).double()

    levels = codebook.double() if codebook.dim() == 1 else codebook[:, None].double()
    # A block whose scale has no finite reciprocal is zeros.
    levels = torch.where(torch.isfinite(1 / spread(scale).float()), levels * spread(scale), 0.0)
    return levels if offset is None else levels + spread(offset)


@given(weights, specs(solvers=DATA_FREE_SOLVERS))
@thorough
def test_every_weight_takes_its_nearest_level(weight: torch.Tensor, spec: QuantSpec) -> None:
    result, levels = quantize_weight(weight, spec, "w").double(), levels_of_weights(weight, spec)
    errors = (levels - weight.double()[..., None]).abs()
    # t, the midpoint and y are each rounded to fp32, an offset is subtracted and added: an error of a few 2^-24 of the
    # largest number around, no matter how near the tie. Results that are subnormal are rounded to 2^-149.
    around = torch.maximum(levels.abs().amax(-1), weight.abs().double())
    assert ((result - weight).abs() <= errors.amin(-1) + 8 * 2.0**-24 * around + 2.0**-148).all()


@given(weights, specs(solvers=SOLVER_NAMES))
@thorough
def test_results_lie_on_levels(weight: torch.Tensor, spec: QuantSpec) -> None:
    result = quantize_weight(weight, spec, "w", statistics_of(weight.shape[1])).double()
    levels = levels_of_weights(weight, spec)
    nearest = (result[..., None] - levels).abs().amin(-1)
    # Roundings of u a, and of u a + m, which may be far smaller than either.
    around = torch.maximum(levels.abs().amax(-1), weight.abs().double())
    assert (nearest <= 2.0**-22 * around + 2.0**-148).all()


@given(weights, specs(solvers=DATA_FREE_SOLVERS), st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
@thorough
def test_stored_numbers_are_of_their_formats_and_quantize(
    weight: torch.Tensor, spec: QuantSpec, dtype: torch.dtype
) -> None:
    """They are all there is: given them as they are read back, the definition makes the same weights."""
    weight = weight.to(dtype)
    codebook, scales, scale, offset = stored_numbers(weight, spec)
    expected = reference.fake_quantize_scaled(weight, codebook, scale, offset, scales.block_size)
    assert torch.equal(quantize_weight(weight, spec, "w"), expected)
    if scales.scale_dtype is not None:
        assert torch.equal(scale.to(scales.scale_dtype).float(), scale)
    if spec.scale_format in ("e8m0", "mx"):
        assert torch.isin(torch.frexp(scale).mantissa, torch.tensor([0.0, 0.5])).all()
    assert offset is None or torch.equal(offset.to(sixteen_bit(dtype)).float(), offset)


@given(weights, specs(LEARNED))
@thorough
def test_learned_levels_ascend_whatever_the_weights(weight: torch.Tensor, spec: QuantSpec) -> None:
    """Of ties, of one weight, of zeros alike. Tables by row may repeat a level, as each has the same number of them."""
    levels = CODEBOOKS[spec.data_type](spec, weight)
    assert 1 <= levels.shape[-1] <= 2**spec.bits
    assert levels.abs().max() <= 1
    steps = levels.diff(dim=-1)
    assert (steps >= 0).all() if DATA_TYPES[spec.data_type].table == "row" else (steps > 0).all()


@given(weights, specs(solvers=DATA_FREE_SOLVERS), st.sampled_from(tuple(ROTATIONS)))
@thorough
def test_a_rotation_goes_around_everything_else(weight: torch.Tensor, spec: QuantSpec, rotation: str) -> None:
    rotate = ROTATIONS[rotation]
    try:
        expected = rotate(quantize_weight(rotate(weight), spec, "w"))
    except UnsupportedError:  # a sum of weights may be larger than its format takes
        assume(False)
    assert torch.equal(quantize_weight(weight, changed(spec, rotation=rotation), "w"), expected)


@given(weights, specs(("int", "float"), "16-bit"))
@thorough
def test_quantizing_twice_changes_nothing(weight: torch.Tensor, spec: QuantSpec) -> None:
    """For fixed codebooks with -1 and 1: the extreme of a block is then a level, and the absmax finds itself again."""
    once = quantize_weight(weight, spec, "w")
    assert torch.equal(quantize_weight(once, spec, "w"), once)


@given(weights, specs(NO_MINIMUM, "16-bit"), st.integers(-20, 10))
@thorough
def test_powers_of_two_pass_through(weight: torch.Tensor, spec: QuantSpec, exponent: int) -> None:
    weight = torch.where(weight.abs() < 2.0**-60, 0.0, weight)  # so that no product or quotient is subnormal in fp32
    scaled = weight * 2.0**exponent
    for side in (weight, scaled):
        absmax = block_extreme(side, spec)
        assume((((absmax >= SUBNORMAL) & (absmax < 30_000)) | (absmax == 0)).all())
    expected = quantize_weight(weight, spec, "w") * 2.0**exponent
    assert torch.equal(quantize_weight(scaled, spec, "w"), expected)


def block_extreme(weight: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    """Exact absmax of each weight's block, of the weight's shape."""
    block = weights_per_block(weight, spec)
    return block_absmax(weight, block).repeat_interleave(block)[: weight.numel()].view(weight.shape)


@given(weights, specs(LOCAL, "16-bit"), st.randoms(use_true_random=False))
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
    spec = any_spec(data_type, block_size)
    assert torch.equal(quantize_weight(torch.zeros(5, 7), spec, "w"), torch.zeros(5, 7))
    tiny = torch.full((5, 7), -1e-9)  # rounds to 0 in fp16
    if not spec.has_own_scale_format:
        assert torch.equal(quantize_weight(tiny, spec, "w").view(torch.int32), torch.zeros(5, 7, dtype=torch.int32))
