"""Input dimensions that stay at 16 bits: which these are, and that the others do not see them."""

from dataclasses import replace

import pytest
import torch
from quant_specs import any_spec
from torch import Tensor

from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS
from kbit.quant.kept import choose_kept, decouple_kept
from kbit.quant.outliers import OUTLIER_RULES
from kbit.quant.statistics import NO_STATISTICS, Statistics
from kbit.spec.members import CENTERINGS, DATA_TYPES, SOLVERS
from kbit.spec.quant import QuantSpec

INT3 = {"data_type": "int", "bits": 3, "block_size": 16}
WIDTH = 40
KEPT = [3, 4, 17, 38]
OF_BLOCKS = {"af", "bof", "bof-s"}
"""Data types whose levels are those of a size of block."""
SUMMING = {"hqq"}
"""Solvers that add up the errors of all weights of a block, and so those of what stands in for the kept ones."""
OF_ANY_BLOCK = [name for name in CODEBOOKS if not DATA_TYPES[name].block_sizes and name not in OF_BLOCKS]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def keep(dimensions: list[int], width: int = WIDTH) -> Statistics:
    """Statistics that the proxy rule keeps these dimensions by."""
    return Statistics(feeder_std=torch.ones(width).index_fill_(0, torch.tensor(dimensions), 2.0))


def with_kept(spec: QuantSpec, **options: object) -> QuantSpec:
    return QuantSpec(**{**spec.model_dump(), "outlier_fraction": 0.1, **options})


def compact(weight: Tensor) -> Tensor:
    return weight[:, [i for i in range(weight.shape[1]) if i not in KEPT]]


def test_int_against_its_definition() -> None:
    """Blocks of 16 straddle rows of 40, and each is scaled by the largest of the weights in it that are not kept."""
    weight = normal(6, WIDTH)
    weight[:, KEPT] *= 100
    result = quantize_weight(weight, QuantSpec(**INT3, outlier_fraction=0.1), "w", keep(KEPT)).view(-1)
    flat = weight.view(-1)
    for start in range(0, len(flat), 16):
        places = range(start, min(start + 16, len(flat)))
        others = [place for place in places if place % WIDTH not in KEPT]
        absmax = flat[others].abs().max().half().float()
        for place in places:
            level = (flat[place] * (1 / absmax) * 3).round().clamp(-3, 3) / 3
            expected = level * absmax if place in others else flat[place]
            # The definition rounds ties and thirds otherwise, by a last digit of fp32.
            assert result[place] == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("centered", CENTERINGS)
@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_kept_weights_stay_and_change_nothing(data_type: str, centered: str, dtype: torch.dtype) -> None:
    spec = any_spec(data_type, 16)
    if DATA_TYPES[data_type].scaling == "range":
        centered = "none"
    spec = with_kept(spec, centered=centered)
    weight = normal(6, WIDTH).to(dtype)
    wild = weight.clone()
    wild[:, KEPT] = (normal(6, len(KEPT), seed=1) * 1000).to(dtype)
    ours, others = (quantize_weight(each, spec, "w", keep(KEPT)) for each in (weight, wild))
    assert ours.is_contiguous()
    assert torch.equal(ours[:, KEPT], weight[:, KEPT])
    assert torch.equal(others[:, KEPT], wild[:, KEPT])
    assert torch.equal(compact(ours), compact(others))
    assert not torch.equal(compact(ours), compact(weight))


@pytest.mark.parametrize("centered", CENTERINGS)
@pytest.mark.parametrize("data_type", OF_ANY_BLOCK)
def test_others_are_quantized_as_if_kept_ones_were_not_there(data_type: str, centered: str) -> None:
    """With blocks of a row these have the same weights, whether others stand between them or not."""
    if DATA_TYPES[data_type].scaling == "range":
        centered = "none"
    plain = QuantSpec(**{**any_spec(data_type, "row").model_dump(), "centered": centered})
    weight = normal(8, WIDTH) + 0.5
    result = quantize_weight(weight, with_kept(plain), "w", keep(KEPT))
    assert torch.equal(compact(result), quantize_weight(compact(weight), plain, "w"))


@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_blocks_without_others(data_type: str) -> None:
    """Blocks of one weight, half of which are kept, and, of a width of 1, a weight that is kept whole."""
    block_size = 1 if not DATA_TYPES[data_type].block_sizes else DATA_TYPES[data_type].block_sizes[0]
    spec = with_kept(any_spec(data_type, block_size), outlier_fraction=0.5)
    weight = normal(4, 6)
    result = quantize_weight(weight, spec, "w", keep([0, 2, 4], 6))
    assert torch.equal(result[:, ::2], weight[:, ::2])
    assert torch.isfinite(result).all()
    column = normal(5, 1)
    assert torch.equal(quantize_weight(column, spec, "w", keep([0], 1)), column)


@pytest.mark.parametrize(
    ("fraction", "width", "count"),
    [
        (0.02, 25, 1),
        (0.02, 24, 0),
        (0.02, 768, 15),
        (0.02, 2560, 51),
        (0.1, 5, 1),
        (0.1, 4, 0),
        (0.5, 7, 4),
        (0.0, 9, 0),
    ],
)
def test_the_share_is_rounded_half_up(fraction: float, width: int, count: int) -> None:
    """15.36 of 768 are 15; 0.5 of 25 * 0.02, which is no sum of powers of two, are 1."""
    ranks = Statistics(feeder_std=normal(width).abs())
    is_kept = choose_kept(torch.zeros(1, width), QuantSpec(**INT3, outlier_fraction=fraction), ranks)
    if count == 0:
        assert is_kept is None
        return
    assert is_kept.sum() == count
    assert ranks.feeder_std[is_kept].min() >= ranks.feeder_std[~is_kept].max()


def test_of_equal_ranks_the_first_stay() -> None:
    ranks = Statistics(feeder_std=torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0, 3.0]))
    is_kept = choose_kept(torch.zeros(1, 6), QuantSpec(**INT3, outlier_fraction=0.5), ranks)
    assert is_kept.tolist() == [False, True, True, False, True, False]


def test_own_std_ranks_by_columns() -> None:
    weight = normal(50, WIDTH) * torch.linspace(1, 2, WIDTH).roll(7)
    weight += 100 * torch.arange(WIDTH)  # a mean spreads nothing
    expected = weight.double().numpy().std(axis=0)
    assert OUTLIER_RULES["own-std"](weight, NO_STATISTICS).numpy() == pytest.approx(expected, rel=1e-6)
    result = quantize_weight(weight, QuantSpec(**INT3, outlier_fraction=0.05, outlier_rule="own-std"), "w")
    untouched = {i for i in range(WIDTH) if torch.equal(result[:, i], weight[:, i])}
    assert untouched == set(expected.argsort()[-2:])


def test_proxy_needs_to_know_who_feeds() -> None:
    with pytest.raises(ValueError, match="ranks by feeder_std, which the caller did not pass"):
        quantize_weight(normal(2, 50), QuantSpec(**INT3, outlier_fraction=0.02), "w")


@pytest.mark.parametrize("solver", [name for name in SOLVERS if name not in SUMMING])
def test_solvers_make_up_for_the_others_alone(solver: str) -> None:
    """As if the kept dimensions were not there, whatever their inputs: these reach the outputs without an error."""
    mixed = normal(200, WIDTH) @ normal(WIDTH, WIDTH, seed=2)
    moments = (mixed.T @ mixed / 200).double()
    others = [i for i in range(WIDTH) if i not in KEPT]
    spec = QuantSpec(data_type="int", bits=3, block_size="row", solver=solver)
    weight = normal(8, WIDTH)
    alone = Statistics(second_moments=moments[others][:, others])
    expected = quantize_weight(compact(weight), spec, "w", alone)
    result = quantize_weight(weight, with_kept(spec), "w", replace(keep(KEPT), second_moments=moments))
    assert torch.equal(result[:, KEPT], weight[:, KEPT])
    assert torch.equal(compact(result), expected)
    if SOLVERS[solver].statistics:  # the moments do count
        plain = spec.model_copy(update={"solver": "rtn"})
        assert not torch.equal(expected, quantize_weight(compact(weight), plain, "w"))


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_solver_hears_of_kept_weights(solver: str) -> None:
    spec = with_kept(any_spec("int-asym", 16), solver=solver)
    weight = normal(6, WIDTH)
    wild = weight.clone()
    wild[:, KEPT] = normal(6, len(KEPT), seed=1) * 1000
    statistics = replace(keep(KEPT), second_moments=torch.eye(WIDTH) + 0.5)
    ours, others = (quantize_weight(each, spec, "w", statistics) for each in (weight, wild))
    assert torch.equal(others[:, KEPT], wild[:, KEPT])
    assert torch.equal(compact(ours), compact(others))


def test_without_moments_nothing_is_decoupled() -> None:
    assert decouple_kept(NO_STATISTICS, torch.tensor([True])) is NO_STATISTICS


def test_a_weight_beyond_its_scale_may_be_kept() -> None:
    """An absmax of 1e6 does not fit into fp16, but that of the others does."""
    weight = normal(3, WIDTH)
    weight[1, 17] = 1e6
    spec = QuantSpec(**INT3, outlier_fraction=0.1)
    assert quantize_weight(weight, spec, "w", keep(KEPT))[1, 17] == 1e6


def test_statistics_are_replaced_not_written_to() -> None:
    moments = torch.eye(WIDTH)
    statistics = replace(keep(KEPT), second_moments=moments)
    quantize_weight(normal(3, WIDTH), QuantSpec(**INT3, outlier_fraction=0.1), "w", statistics)
    assert torch.equal(moments, torch.eye(WIDTH))
