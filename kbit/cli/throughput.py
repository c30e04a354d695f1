"""What a study's cells say about speed, kept for the plans to come."""

import polars as pl

from kbit.plan.plan import Plan
from kbit.plan.prediction import Measured, prediction_ratio
from kbit.plan.resources import estimate_study
from kbit.spec.hardware import Hardware
from kbit.spec.placement import Placement
from kbit.store.paths import throughput_path
from kbit.store.throughput import read_throughput, write_throughput
from kbit.warehouse.throughput import SCORED, measure_throughput


def keep_throughput(plan: Plan, cells: pl.DataFrame) -> None:
    """Add the speeds of a study's table `cells` to what is known, and note how well the plan would have foreseen them.

    A card that nothing is known of is predicted as the default one, an H100.
    """
    known = read_throughput(throughput_path()).merged(measure_throughput(cells))
    error = prediction_ratio(estimate_study(plan, Hardware(), known), measured_cells(cells))
    write_throughput(throughput_path(), known.with_prediction(plan.study.name, error))


def measured_cells(cells: pl.DataFrame) -> dict[str, Measured]:
    """The cells that were scored, by id."""
    columns = cells.filter(SCORED).select("cell_id", "seconds", "placement", "gpus", "threads")
    return {
        cell_id: Measured(seconds, Placement(kind, gpus), threads)
        for cell_id, seconds, kind, gpus, threads in columns.iter_rows()
    }
