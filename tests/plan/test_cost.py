"""The cost model: it grows with everything that costs, and its figures are of the right size."""

import pytest

from kbit.plan.cost import CPU_PARAMETERS, IDLE, shard_cost

PAPER_TOKENS = [500_000, 60_000, 3_500_000, 150_000, 500_000]
"""About what the five tasks of the paper's study have."""


def test_nothing_missing_needs_no_gpu():
    cost = shard_cost(176_000_000_000, "float16", [], 0)
    assert cost == IDLE
    assert (cost.minutes, cost.gpus, cost.gpu_hours) == (5, 0, 0)


@pytest.mark.parametrize("parameters", [100_000, 70_000_000, 7_000_000_000, 176_000_000_000])
def test_more_cells_never_cost_less(parameters):
    costs = [shard_cost(parameters, "float16", PAPER_TOKENS * n, n) for n in (1, 2, 20, 200)]
    minutes = [cost.minutes for cost in costs]
    assert minutes == sorted(minutes)
    assert minutes[-1] > minutes[0]
    assert len({cost.gpus for cost in costs}) == 1
    assert len({cost.mem_mb for cost in costs}) == 1


@pytest.mark.parametrize("field", ["minutes", "mem_mb", "gpus", "gpu_hours"])
def test_larger_models_never_need_less(field):
    sizes = [CPU_PARAMETERS, 70e6, 1e9, 7e9, 30e9, 66e9, 176e9]
    values = [getattr(shard_cost(int(size), "float16", PAPER_TOKENS, 1), field) for size in sizes]
    assert values == sorted(values)
    assert values[-1] > values[0]


@pytest.mark.parametrize("parameters", [91_008, 1_565_120])
def test_embedded_models_run_on_the_cpu_within_minutes(parameters):
    tokens = [6_000, 8_000, 15_000, 8_000, 20_000] * 50
    cost = shard_cost(parameters, "float32", tokens, 50)
    assert cost.gpus == 0
    assert cost.gpu_hours == 0
    assert 5 <= cost.minutes <= 30
    assert cost.mem_mb < 3_000


@pytest.mark.parametrize(
    ("parameters", "gpus"), [(70_426_624, 1), (13_000_000_000, 1), (30_000_000_000, 2), (66_000_000_000, 4)]
)
def test_gpus_hold_the_weights(parameters, gpus):
    cost = shard_cost(parameters, "float16", PAPER_TOKENS, 1)
    assert cost.gpus == gpus
    assert cost.gpus * 80e9 > 2 * 2 * parameters  # pristine and quantized, two bytes each


def test_a_seven_billion_model_takes_some_minutes_per_spec():
    """4.7 million tokens x 14 GFLOP at 125 TFLOP/s are 528 s; batches, reading and start add about two minutes."""
    cost = shard_cost(7_000_000_000, "float16", PAPER_TOKENS, 1)
    assert 528 / 3600 < cost.gpu_hours < 720 / 3600
    assert cost.minutes == pytest.approx(2 * 60 * cost.gpu_hours, abs=1)


def test_float32_weights_need_twice_the_room_and_more_time():
    half, single = (shard_cost(30_000_000_000, dtype, PAPER_TOKENS, 1) for dtype in ("float16", "float32"))
    assert single.gpus == 2 * half.gpus == 4
    assert single.mem_mb > 1.9 * half.mem_mb
    assert single.minutes > 2 * half.minutes
