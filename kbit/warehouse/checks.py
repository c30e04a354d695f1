"""Every planned cell has exactly one row, and no row is of another study."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from kbit.spec.errors import UserError

IDENTITY = ("model_id", "spec", "task")


def check_against_plan(plan: pl.DataFrame, rows: pl.DataFrame, parts: Sequence[Path]) -> None:
    """UserError that names the first duplicate, foreign or missing cell, and how many there are."""
    check_unique(plan)
    check_duplicates(rows)
    check_foreign(plan, rows)
    check_missing(plan, rows, parts)


def check_unique(plan: pl.DataFrame) -> None:
    """A plan names a cell once; anything else is a mistake of the caller."""
    if plan["cell_id"].is_duplicated().any():
        raise ValueError("the plan names a cell twice")


def check_duplicates(rows: pl.DataFrame) -> None:
    twice = rows.filter(pl.col("cell_id").is_duplicated()).sort("cell_id", "part")
    if twice.height == 0:
        return
    first, second = twice.row(0, named=True), twice.row(1, named=True)
    count = twice["cell_id"].n_unique()
    where = f"in {first['part']} and {second['part']}" if first["part"] != second["part"] else f"in {first['part']}"
    raise UserError(
        f"{describe(first)} stands twice, {where} ({count} such cells): "
        f"drop one with `rm {second['part']}`; it is rebuilt from the journal"
    )


def check_foreign(plan: pl.DataFrame, rows: pl.DataFrame) -> None:
    foreign = rows.join(plan.select("cell_id"), on="cell_id", how="anti").sort("cell_id")
    if foreign.height == 0:
        return
    first = foreign.row(0, named=True)
    raise UserError(
        f"{describe(first)} in {first['part']} is not of this study ({foreign.height} such cells): "
        f"drop the part with `rm {first['part']}`"
    )


def check_missing(plan: pl.DataFrame, rows: pl.DataFrame, parts: Sequence[Path]) -> None:
    missing = plan.join(rows.select("cell_id"), on="cell_id", how="anti").sort("cell_id")
    if missing.height == 0:
        return
    first = missing.row(0, named=True)
    raise UserError(
        f"{describe(first)} has no row in any of the study's {len(parts)} parts ({missing.height} such cells): "
        f"drop the parts of {first['model']} and run the study again; what is done comes back from the journal"
    )


def describe(cell: dict[str, object]) -> str:
    """A cell as messages name it."""
    identity = ", ".join(str(cell[name]) for name in IDENTITY)
    return f"cell {cell['cell_id']} ({identity})"
