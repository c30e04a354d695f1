"""Speeds: measured on this machine, else by the bench, else assumed; of the nearest model."""

import dataclasses
import json
from pathlib import Path

import pytest

from kbit.plan.gpu_bench import read_gpu_bench
from kbit.plan.plan import plan_study
from kbit.plan.prediction import Measured, prediction_ratio
from kbit.plan.rates import Calibration, assumed_rates, measured_rates
from kbit.plan.resources import Estimator
from kbit.spec.errors import UserError
from kbit.spec.hardware import Hardware
from kbit.spec.models import Model
from kbit.spec.placement import CPU, Placement
from kbit.store.throughput import Throughput, ThroughputTable

GPU = Placement("twin", 1)
ROW = Throughput(
    device="NVIDIA H100 80GB HBM3",
    gpus=1,
    placement="twin",
    architecture="gpt_neox",
    parameters=1_000_000_000,
    dtype="float16",
    threads=4,
    model_ids=("one",),
    cells=100,
    tokens=10**8,
    tokens_per_second=2e5,
    flop_per_second=4e14,
    cell_seconds=0.0,
    quantize_seconds=2e-11,
    measured_at="2026-01-01T00:00:00+00:00",
)


def model(parameters, model_id="new", family="Pythia"):
    return Model(model_id, family, model_id, model_id, int(parameters), None, None, None, None, None)


def row(**changes):
    return dataclasses.replace(ROW, **changes)


def nearest(rows, parameters=1e9, placement=GPU, threads=4, models=(), model_id="new", **more):
    planned = model(parameters, model_id)
    return Calibration(rows, [planned, *models]).nearest(planned, "float16", placement, threads, **more)


def test_the_nearest_size_is_taken():
    small, large = row(), row(parameters=20_000_000_000)
    assert nearest([small, large], 4e9) == small
    assert nearest([small, large], 5e9) == large
    assert nearest([]) is None


@pytest.mark.parametrize(
    "changes",
    [{"gpus": 0, "device": "cpu"}, {"dtype": "float32"}, {"placement": "streamed"}],
    ids=lambda c: next(iter(c)),
)
def test_what_cannot_be_compared_is_passed_over(changes):
    assert nearest([row(**changes)]) is None


def test_streamed_models_are_compared_to_each_other():
    streamed = row(placement="streamed")
    assert nearest([ROW, streamed], placement=Placement("streamed", 1)) == streamed
    assert nearest([row(placement="host")], placement=GPU).placement == "host"


def test_an_architecture_is_known_from_the_family_and_counts_as_four_sizes():
    own, other = row(parameters=3_000_000_000), row(architecture="opt", model_ids=("o",))
    sibling = model(3e9, "one")
    assert nearest([own, other], 1e9, models=[sibling]) == own  # three sizes off, not four
    assert nearest([row(parameters=5_000_000_000), other], 1e9, models=[sibling]) == other
    assert nearest([own, other], 1e9) == other  # of no known architecture: size alone


def test_threads_count_on_a_cpu():
    one, four = (row(gpus=0, device="cpu", threads=threads) for threads in (1, 4))
    assert nearest([four, one], placement=CPU, threads=1) == one
    assert nearest([four], placement=CPU, threads=1) == four


def test_a_models_own_cells_can_be_left_out():
    other = row(parameters=9_000_000_000, model_ids=("other",))
    assert nearest([ROW, other], model_id="one") == ROW
    assert nearest([ROW, other], model_id="one", own=False) == other


def test_a_measured_speed_is_scaled_by_operations():
    rates = measured_rates(ROW, 8192)
    assert rates.scoring_seconds(1e6, 2e15, 5) == pytest.approx(5)
    # 1 % of the operations per token would take 0.05 s: launching kernels takes more, 30 ms a batch of 8192 tokens.
    assert rates.scoring_seconds(1e6, 2e13, 5) == pytest.approx(1e6 / 8192 * 0.03)
    # No slower per token than the larger model that was measured.
    fast = measured_rates(row(tokens_per_second=1e6), 8192)
    assert fast.scoring_seconds(1e6, 2e13, 5) == pytest.approx(1)


def test_a_fixed_time_per_cell_is_added():
    assert measured_rates(row(cell_seconds=0.5), 8192).scoring_seconds(1e6, 2e15, 5) == pytest.approx(5 + 2.5)


BENCH = {
    "device": "NVIDIA H100 80GB HBM3",
    "matmul_tflops": 700,
    "utilisation": [
        {"parameters": 1_400_000_000, "format": "4-choice", "utilisation": 0.4},
        {"parameters": 1_400_000_000, "format": "last-word", "utilisation": 0.6},
        {"parameters": 6_900_000_000, "format": "4-choice", "utilisation": 0.7},
    ],
}


def write_bench(root: Path, content: object) -> Path:
    (root / "bench/results").mkdir(parents=True)
    (root / "bench/results/evaluate_gpu.json").write_text(json.dumps(content))
    return root


def test_the_bench_is_read_by_size(tmp_path):
    bench = read_gpu_bench(write_bench(tmp_path, BENCH))
    assert bench.nearest(70_000_000).utilisation == pytest.approx(0.48)  # harmonic: formats share the time
    assert bench.nearest(176_000_000_000).utilisation == 0.7


def test_a_bench_that_was_not_run_says_nothing(tmp_path):
    assert read_gpu_bench(tmp_path) is None
    assert read_gpu_bench(write_bench(tmp_path / "empty", BENCH | {"utilisation": []})) is None


@pytest.mark.parametrize("key", BENCH)
def test_a_bench_without_a_key_is_refused(tmp_path, key):
    root = write_bench(tmp_path, {name: value for name, value in BENCH.items() if name != key})
    with pytest.raises(UserError, match=r"evaluate_gpu.json cannot be read"):
        read_gpu_bench(root)


@pytest.fixture(scope="module")
def tiny():
    return plan_study(Path(__file__).parents[2] / "config/tiny.yaml")


def estimated(plan, rows=(), bench=None, hardware=None):
    estimator = Estimator(plan, hardware or Hardware(), ThroughputTable(tuple(rows)), bench)
    return estimator.rates(model(6.9e9), "float16", 8192, GPU, 4)


def test_measured_goes_before_the_bench_and_that_before_an_assumption(tiny, tmp_path):
    bench = read_gpu_bench(write_bench(tmp_path, BENCH))
    assert estimated(tiny, [ROW], bench).source.startswith("measured on NVIDIA H100 80GB HBM3: gpt_neox")
    assert estimated(tiny, [], bench).flop_per_second == pytest.approx(0.7 * 700e12)
    assert "bench/results/evaluate_gpu.json" in estimated(tiny, [], bench).source
    assert estimated(tiny).source == "assumed 50% of 989 TFLOP/s (float16)"


def test_the_benchs_utilisation_carries_over_to_another_card(tiny, tmp_path):
    bench = read_gpu_bench(write_bench(tmp_path, BENCH))
    a100 = estimated(tiny, [], bench, Hardware(gpu_tflops=312))
    assert a100.flop_per_second == pytest.approx(0.7 * 700e12 * 312 / 989)


def test_predictions_leave_a_models_own_cells_out(tiny):
    """Every cell takes four times what the defaults say; those of one model were measured so, the others learn it."""
    assumed = assumed_rates("float32", 2048, 0, Hardware())
    first = tiny.cells[0].model
    cpu = row(
        gpus=0, device="cpu", dtype="float32", threads=1, parameters=first.parameters, model_ids=(first.model_id,),
        flop_per_second=assumed.flop_per_second / 4, cell_seconds=4 * assumed.cell_seconds,
    )  # fmt: skip
    by_default = Estimator(tiny, Hardware(), ThroughputTable())
    flat = {cell.cell_id: Measured(4 * seconds_by(by_default, cell), CPU, 1) for cell in tiny.cells}
    error = prediction_ratio(Estimator(tiny, Hardware(), ThroughputTable((cpu,))), flat)
    n_first = sum(cell.model == first for cell in tiny.cells)
    assert error.cells == len(tiny.cells) > 5 * n_first > 0
    assert error.median_ratio == pytest.approx(1)
    assert error.low_ratio == pytest.approx(0.25)  # the first model's own, by the defaults
    assert error.high_ratio == pytest.approx(1)
    assert len(error.sources) == 2
    assert prediction_ratio(by_default, {}) is None


def seconds_by(estimator, cell):
    """Expected seconds of one cell, from its count of operations."""
    flop = cell.task.items * cell.task.entry.tokens_per_item * 2
    flop *= cell.model.parameters if cell.task.kind == "perplexity" else cell.model.quantized_parameters
    return estimator.rates(cell.model, "float32", 2048, CPU, 1).scoring_seconds(0, flop, 1)
