"""From a plan and its parts to the tables, checked and written atomically."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from kbit.spec.errors import UserError
from kbit.store.atomic import write_bytes
from kbit.store.hidden_units import read_hidden_units
from kbit.store.parts import read_part
from kbit.warehouse.cells import PLAN_COLUMNS, ROW_COLUMNS, build_cells
from kbit.warehouse.checks import check_against_plan
from kbit.warehouse.models import build_models
from kbit.warehouse.outliers import build_outliers
from kbit.warehouse.points import build_points
from kbit.warehouse.scores import build_scores

TABLES: dict[str, Callable[[dict[str, pl.DataFrame]], pl.DataFrame]] = {
    "scores": build_scores,
    "points": build_points,
    "models": build_models,
}
"""Tables derived from `cells`, each a function of the tables before it."""


def build_tables(plan: pl.DataFrame, parts: Sequence[Path], output: Path, observed: Sequence[Path] = ()) -> None:
    """Write the tables cells, scores, points and models of a study into the folder `output`.

    `plan` has one row per planned cell with the columns `cells.PLAN_COLUMNS`; `parts` are the plan's own parts and no
    others; `observed` are files of hidden units, of which the table outliers is made, if there are any.
    UserError for an unreadable file, and for a cell that is duplicate, missing or not of the plan.
    The same rows give the same bytes: every table is sorted, and sums run in a fixed order.
    """
    missing = [name for name in PLAN_COLUMNS if name not in plan.columns]
    if missing:
        raise ValueError(f"the plan lacks the columns {', '.join(missing)}")
    rows = read_rows(parts)
    check_against_plan(plan, rows, parts)
    tables = {"cells": build_cells(plan, rows)}
    for name, build in TABLES.items():
        tables[name] = build(tables)
    if observed:
        tables["outliers"] = build_outliers(plan, [read_hidden_units(path) for path in observed])
    else:
        (output / "outliers.parquet").unlink(missing_ok=True)
    for name, table in tables.items():
        write_table(table, output / f"{name}.parquet")


def read_rows(parts: Sequence[Path]) -> pl.DataFrame:
    """The rows of all parts without their samples, and the file each came from."""
    frames = [read_part(part, ROW_COLUMNS).with_columns(pl.lit(str(part)).alias("part")) for part in parts]
    if not frames:
        raise UserError("the study has no part: nothing was planned")
    return pl.concat(frames)


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table whole or not at all."""
    content = io.BytesIO()
    table.write_parquet(content, compression="zstd", statistics=True)
    write_bytes(path, content.getvalue())


def read_table(folder: Path, name: str) -> pl.DataFrame:
    """A table of a study. UserError when it has not been built."""
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise UserError(f"no table {path}: build it with `kbit build-tables STUDY`")
    return pl.read_parquet(path)
