"""Throughput: speeds are found again in cells that were made with known ones."""

import polars as pl
import pytest

from kbit.warehouse.throughput import fit_speed, measure_throughput

TOKENS = {"small": 1_000, "medium": 5_000, "large": 20_000, "pages": 8_000}
RATE, FIXED, QUANTIZE = 2e9, 0.25, 3e-8
"""FLOP/s, seconds per cell, seconds per quantized parameter."""
LINEARS, PARAMETERS = 100_000, 150_000


def make_cells(**changes: object) -> pl.DataFrame:
    """Three specs of one model, four tasks each, timed exactly; the pages' head counts too."""
    rows = []
    for spec in ("none16", "int4-b64", "int3-b64"):
        for task, tokens in TOKENS.items():
            flop = 2 * (PARAMETERS if task == "pages" else LINEARS) * tokens
            row = {
                "cell_id": f"{spec}/{task}",
                "model_id": "id",
                "spec": spec,
                "task": task,
                "task_kind": "perplexity" if task == "pages" else "zero-shot",
                "data_type": "none" if spec == "none16" else "int",
                "status": "ok",
                "architecture": "gpt_neox",
                "placement": "twin",
                "gpus": 0,
                "device": "cpu",
                "threads": 1,
                "dtype": "float32",
                "parameters": PARAMETERS,
                "quantized_parameters": LINEARS,
                "n_tokens": tokens,
                "seconds": FIXED + flop / RATE,
                "kbit_version": "0.1.0",
                "started_at": "2026-01-01T00:00:00+00:00",
                "quantize_seconds": 1e-4 if spec == "none16" else QUANTIZE * LINEARS,
            }
            rows.append(row | changes)
    return pl.DataFrame(rows, infer_schema_length=None)


def test_known_speeds_are_found_again():
    (row,) = measure_throughput(make_cells())
    assert row.flop_per_second == pytest.approx(RATE)
    assert row.cell_seconds == pytest.approx(FIXED)
    assert row.quantize_seconds == pytest.approx(QUANTIZE)
    assert (row.cells, row.tokens) == (12, 3 * sum(TOKENS.values()))
    assert row.key == ("cpu", 0, "twin", "gpt_neox", PARAMETERS, "float32", 1)
    assert row.model_ids == ("id",)


def test_a_slow_start_moves_nothing():
    cells = make_cells()
    # The first cell of a job warms up; the other two of its task are as they were.
    slow = pl.when(pl.col("cell_id") == "none16/small").then(100.0).otherwise(pl.col("seconds"))
    (row,) = measure_throughput(cells.with_columns(slow.alias("seconds")))
    assert row.flop_per_second == pytest.approx(RATE)
    assert row.cell_seconds == pytest.approx(FIXED)


def test_machines_and_shapes_are_kept_apart():
    cells = pl.concat([make_cells(), make_cells(device="H100", gpus=1), make_cells(parameters=2 * PARAMETERS)])
    rows = measure_throughput(cells)
    assert [(row.device, row.parameters) for row in rows] == [
        ("H100", PARAMETERS),
        ("cpu", PARAMETERS),
        ("cpu", 2 * PARAMETERS),
    ]


@pytest.mark.parametrize(("copies", "expected"), [(1, 12 + 12), (2, 24)], ids=["few", "enough"])
def test_a_faster_release_counts_alone_once_it_has_scored_enough_cells(copies, expected):
    later = {"kbit_version": "0.2.0", "started_at": "2026-02-01T00:00:00+00:00"}
    faster = make_cells(**later).with_columns(pl.col("seconds") / 2)
    (row,) = measure_throughput(pl.concat([make_cells(), *[faster] * copies]))
    assert (row.cells, row.measured_at) == (expected, later["started_at"])
    assert (row.flop_per_second == pytest.approx(2 * RATE)) == (copies == 2)


@pytest.mark.parametrize(
    "changes",
    [{"architecture": None}, {"placement": None}, {"seconds": None}, {"n_tokens": None}, {"status": "failed"}],
    ids=["architecture", "placement", "seconds", "tokens", "failed"],
)
def test_rows_that_do_not_say_how_they_were_run_are_left_out(changes):
    assert measure_throughput(make_cells(**changes)) == []


def test_the_control_alone_says_nothing_of_quantizing():
    (row,) = measure_throughput(make_cells().filter(pl.col("data_type") == "none"))
    assert row.quantize_seconds is None


@pytest.mark.parametrize(
    "tasks",
    [
        [(10.0, 2.0)],
        [(10.0, 2.0), (30.0, 6.0)],
        [(10.0, 2.0), (11.0, 2.2), (12.0, 2.4)],
        [(1, 3.0), (2, 2.0), (4, 1.0)],
    ],
    ids=["one task", "two tasks", "tasks of one size", "larger tasks are faster"],
)
def test_tasks_that_do_not_tell_a_fixed_time_have_none(tasks):
    fixed, rate = fit_speed(tasks)
    assert fixed == 0
    assert rate == pytest.approx(sum(flop for flop, _ in tasks) / sum(seconds for _, seconds in tasks))
