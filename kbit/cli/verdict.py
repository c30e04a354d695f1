"""The short verdict that ends a run: best k per family, with its interval."""

import polars as pl
from rich.console import Console
from rich.table import Table

from kbit.plan.plan import Plan
from kbit.store.paths import fits_path


def print_verdict(plan: Plan) -> None:
    """Print the verdict table of a finished study."""
    from kbit.scaling import verdict_table

    table = Table(title=f"{plan.study.config.title}: best k at a fixed number of total model bits")
    rows = verdict_table(pl.read_parquet(fits_path(plan.study.name)))
    for heading in rows[0] if rows else ():
        table.add_column(heading)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
