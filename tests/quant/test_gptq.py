"""GPTQ against definitions that are slow and plain: brute force, the published algorithm in float64, plain rounding."""

import pytest
import torch
from quant_specs import any_spec, formats_of, slug

from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS
from kbit.quant.quantize import largest_level
from kbit.quant.rotations.hadamard import rotate
from kbit.quant.scales import Scales
from kbit.quant.solvers import gptq
from kbit.quant.statistics import Statistics
from kbit.spec.errors import UnsupportedError, UserError
from kbit.spec.quant import QuantSpec

INT3 = QuantSpec(data_type="int", bits=3, block_size=16, solver="gptq")


def random_weight(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def correlated_inputs(width: int, seed: int = 0, rank: int = 8) -> torch.Tensor:
    """float64 [4 * width, width]: a few common factors and noise, of scales that differ tenfold between inputs."""
    generator = torch.Generator().manual_seed(1000 + seed)
    n = 4 * width
    common = torch.randn(n, rank, generator=generator) @ torch.randn(rank, width, generator=generator)
    inputs = common + torch.randn(n, width, generator=generator)
    return (inputs * 10 ** torch.rand(width, generator=generator)).double()


def moments_of(inputs: torch.Tensor) -> torch.Tensor:
    return inputs.T @ inputs / len(inputs)


def with_moments(weight: torch.Tensor, spec: QuantSpec, moments: torch.Tensor) -> torch.Tensor:
    return quantize_weight(weight, spec, "w", Statistics(second_moments=moments))


def output_error(weight: torch.Tensor, quantized: torch.Tensor, moments: torch.Tensor) -> float:
    """Mean square of the error of the outputs, summed over them."""
    error = (weight - quantized).double()
    return ((error @ moments) * error).sum().item()


def plainly_rounded(spec: QuantSpec) -> QuantSpec:
    return QuantSpec(**{**spec.model_dump(exclude={"damping", "act_order", "calibration"}), "solver": "rtn"})


def nearest(spec: QuantSpec, pristine: torch.Tensor, values: torch.Tensor, column: int) -> torch.Tensor:
    """Levels nearest to `values` [out] in the blocks of a column of `pristine`, by a search over all of them. int."""
    levels = torch.arange(-(2 ** (spec.bits - 1)) + 1, 2 ** (spec.bits - 1)).double() / (2 ** (spec.bits - 1) - 1)
    block = column // spec.block_size
    absmax = pristine[:, block * spec.block_size : (block + 1) * spec.block_size].abs().amax(1).half().double()
    candidates = absmax[:, None] * levels
    return candidates.gather(1, (values[:, None] - candidates).abs().argmin(1, keepdim=True))[:, 0]


def brain_surgery(weight: torch.Tensor, spec: QuantSpec, damped: torch.Tensor) -> torch.Tensor:
    """Optimal brain surgery by brute force: after each rounding, all later weights move to their least-squares best,
    found anew from the pristine ones."""
    factor = torch.linalg.cholesky(damped)  # |E factor|^2 is the error of the outputs
    quantized, best = torch.zeros_like(weight), weight.clone()
    for j in range(weight.shape[1]):
        quantized[:, j] = nearest(spec, weight, best[:, j], j)
        error = (weight - quantized)[:, : j + 1] @ factor[: j + 1]
        moves = torch.linalg.lstsq(factor[j + 1 :].T, error.T).solution.T
        best[:, j + 1 :] = weight[:, j + 1 :] + moves
    return quantized


def published_gptq(weight: torch.Tensor, spec: QuantSpec, damped: torch.Tensor) -> torch.Tensor:
    """The algorithm as Frantar et al. (2023) print it, in float64, without batches; scales are the pristine ones."""
    upper = torch.linalg.cholesky(torch.linalg.inv(damped), upper=True)
    work, quantized = weight.clone(), torch.zeros_like(weight)
    for j in range(weight.shape[1]):
        quantized[:, j] = nearest(spec, weight, work[:, j], j)
        error = (work[:, j] - quantized[:, j]) / upper[j, j]
        work[:, j:] -= error[:, None] * upper[j, j:]
    return quantized


def damp(moments: torch.Tensor, share: float) -> torch.Tensor:
    return moments + share * moments.diagonal().mean() * torch.eye(len(moments), dtype=torch.float64)


def equal_rows(left: torch.Tensor, right: torch.Tensor) -> int:
    """Rows that agree to fp32."""
    return int(torch.isclose(left.double(), right.double(), rtol=1e-6, atol=0).all(dim=1).sum())


@pytest.mark.parametrize("seed", range(5))
def test_it_is_optimal_brain_surgery(seed):
    weight, moments = random_weight(6, 12, seed=seed), moments_of(correlated_inputs(12, seed, rank=3))
    spec = INT3.model_copy(update={"block_size": 4})
    expected = brain_surgery(weight.double(), spec, damp(moments, 0.01))
    assert equal_rows(with_moments(weight, spec, moments), expected) == 6


@pytest.mark.parametrize("damping", [0.01, 0.1])
@pytest.mark.parametrize("width", [64, 320])
def test_it_agrees_with_the_published_algorithm_in_float64(width, damping):
    """320 inputs are three batches of 128, the last of them short."""
    weight, moments = random_weight(32, width), moments_of(correlated_inputs(width))
    expected = published_gptq(weight.double(), INT3, damp(moments, damping))
    result = with_moments(weight, INT3.model_copy(update={"damping": damping}), moments.float())
    # A weight within fp32's rounding of a midpoint may fall to the other side and change what follows in its row.
    assert equal_rows(result, expected) >= 31


def test_act_order_takes_the_largest_inputs_first():
    weight, moments = random_weight(16, 48), moments_of(correlated_inputs(48))
    spec = INT3.model_copy(update={"act_order": True, "block_size": "row"})
    order = moments.diagonal().argsort(descending=True)
    # In one block a row, an order of the inputs is no more than other names for them.
    expected = with_moments(weight[:, order], spec.model_copy(update={"act_order": False}), moments[order][:, order])
    result = with_moments(weight, spec, moments)
    assert torch.equal(result[:, order], expected)
    assert not torch.equal(result, with_moments(weight, spec.model_copy(update={"act_order": False}), moments))


def test_outputs_are_better_than_by_rounding():
    better = 0
    for seed in range(200):
        weight, moments = random_weight(16, 64, seed=seed), moments_of(correlated_inputs(64, seed))
        errors = [
            output_error(weight, quantized, moments)
            for quantized in (with_moments(weight, INT3, moments), quantize_weight(weight, plainly_rounded(INT3), "w"))
        ]
        better += errors[0] < errors[1]
    assert better >= 190


INDEPENDENT = [
    any_spec(name, block).model_copy(update={"solver": "gptq", **changes})
    for name in CODEBOOKS
    for block, changes in [(64, {}), ("row", {"act_order": True}), ("tensor", {"damping": 0.5})]
]


@pytest.mark.parametrize("spec", INDEPENDENT, ids=slug)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_independent_inputs_are_rounded_bit_for_bit(spec, dtype):
    """Also where blocks straddle rows, as those of 64 do here, and where one is zeros."""
    weight = random_weight(6, 160).to(dtype)
    weight.view(-1)[64:128] = 0
    expected = quantize_weight(weight, plainly_rounded(spec), "w")
    assert torch.equal(with_moments(weight, spec, 3 * torch.eye(160)), expected)


@pytest.mark.parametrize("data_type", ["int", "int-asym", "bof-s", "kmeans-row"])
def test_independent_inputs_are_rounded_in_every_scale_format(data_type):
    weight = random_weight(6, 160)
    for scale_format in formats_of(data_type):
        for centered in ["none"] if data_type == "int-asym" else ["none", "tensor", "block"]:
            plain = any_spec(data_type).model_dump() | {"scale_format": scale_format, "centered": centered}
            spec = QuantSpec(**plain | {"solver": "gptq"})
            expected = quantize_weight(weight, QuantSpec(**plain), "w")
            assert torch.equal(with_moments(weight, spec, torch.eye(160)), expected), spec.slug


@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_values_are_those_that_can_be_stored(data_type):
    """Levels and scales are those of the pristine weight, so that what is stored, and counted, is what rtn stores."""
    weight, moments = random_weight(8, 128), moments_of(correlated_inputs(128))
    spec = any_spec(data_type).model_copy(update={"solver": "gptq"})
    result = with_moments(weight, spec, moments)
    plain = plainly_rounded(spec)
    codebook = CODEBOOKS[data_type](plain, weight)
    scales = Scales(weight, plain, "w", largest_level=largest_level(plain, codebook))
    blocks = torch.arange(weight.numel()) // scales.block_size
    levels = codebook.expand(8, -1).repeat_interleave(128, dim=0)
    stored = levels * scales.scale[blocks, None]
    stored = stored if scales.offset is None else stored + scales.offset[blocks, None]
    assert (stored == result.view(-1, 1)).any(dim=1).all()
    rounded = quantize_weight(weight, plain, "w")
    assert output_error(weight, result, moments) < output_error(weight, rounded, moments)


def test_moments_are_rotated_with_the_weight():
    weight, moments = random_weight(16, 96), moments_of(correlated_inputs(96))
    spec = INT3.model_copy(update={"rotation": "hadamard"})
    matrix = rotate(torch.eye(96)).double()
    expected = rotate(with_moments(rotate(weight), INT3, matrix.T @ moments @ matrix))
    result = with_moments(weight, spec, moments)
    # Sums in another order: a weight on the brink of a midpoint may fall otherwise and change what follows in its row.
    assert torch.isclose(result, expected, atol=1e-5, rtol=0).all(dim=1).sum() >= 15
    unaware = with_moments(weight, spec, torch.eye(96))
    assert output_error(weight, result, moments) < 0.7 * output_error(weight, unaware, moments)


def test_an_input_that_is_always_zero_is_rounded_and_changes_nothing():
    weight, moments = random_weight(16, 64), moments_of(correlated_inputs(64))
    dead = torch.arange(64) % 9 == 4
    moments[dead] = 0
    moments[:, dead] = 0
    rounded = quantize_weight(weight, plainly_rounded(INT3), "w")
    assert torch.equal(with_moments(weight, INT3, moments)[:, dead], rounded[:, dead])
    assert torch.equal(with_moments(weight, INT3, torch.zeros(64, 64)), rounded)
    without = weight[:, ~dead]
    alive = with_moments(without, INT3.model_copy(update={"block_size": "row"}), moments[~dead][:, ~dead])
    weight[:, dead] = 0  # takes no part in the absmax of a row
    assert torch.equal(with_moments(weight, INT3.model_copy(update={"block_size": "row"}), moments)[:, ~dead], alive)


def test_damping_grows_until_the_moments_are_positive_definite():
    """One negative eigenvalue of 5 % of the mean: 1 % is too little, ten times as much is enough."""
    basis = torch.linalg.qr(random_weight(64, 64).double()).Q
    values = torch.ones(64, dtype=torch.float64)
    values[0] = -0.05
    moments = basis @ torch.diag(values) @ basis.T
    weight = random_weight(8, 64)
    expected = with_moments(weight, INT3.model_copy(update={"damping": 0.1}), moments)
    assert torch.equal(with_moments(weight, INT3, moments), expected)


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        (torch.full((64, 64), torch.nan), "w: its calibration inputs are not finite"),
        (torch.eye(64) - 5 / 64, "w: the second moments of its calibration inputs are not positive definite"),
    ],
)
def test_moments_that_cannot_be_used_are_a_result(moments, message):
    with pytest.raises(UnsupportedError, match=f"^{message}"):
        with_moments(random_weight(8, 64), INT3, moments)


def test_without_calibration_it_is_refused():
    with pytest.raises(UserError, match=r"^w: solver gptq needs inputs to calibrate on \(key `calibration`"):
        quantize_weight(random_weight(8, 64), INT3, "w")


def test_a_batch_is_as_good_as_one_input_at_a_time(monkeypatch):
    weight, moments = random_weight(16, 200), moments_of(correlated_inputs(200))
    expected = with_moments(weight, INT3, moments)
    monkeypatch.setattr(gptq, "BATCH_INPUTS", 1)
    # Sums in another order: a weight on the brink of a midpoint may fall otherwise.
    assert equal_rows(with_moments(weight, INT3, moments), expected) >= 15
