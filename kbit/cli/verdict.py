"""The short verdict that ends a run: best k per family, with its interval."""

import polars as pl
from rich.table import Table

from kbit.cli.terminal import open_console
from kbit.plan.plan import Plan
from kbit.store.paths import fits_path

LAST_HEADING = "gap to runner-up"


def print_verdict(plan: Plan) -> None:
    """Print the verdict table of a finished study; what left a family undetermined is said in its report."""
    from kbit.scaling import verdict_table

    table = Table(title=f"{plan.study.config.title}: best k at a fixed number of total model bits")
    rows = verdict_table(pl.read_parquet(fits_path(plan.study.name)))
    for heading in rows[0] if rows else ():
        table.add_column(heading, no_wrap=True, overflow="ellipsis" if heading == LAST_HEADING else "fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    open_console().print(table)
