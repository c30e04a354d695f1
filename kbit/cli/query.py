"""`kbit query`: SQL over the tables of a study, printed as a table, as CSV or as JSON."""

import json
import sys
from pathlib import Path

import polars as pl
from rich.table import Table
from rich.text import Text

from kbit.cli.terminal import open_console
from kbit.spec.errors import UserError
from kbit.spec.section import read_yaml
from kbit.store.paths import study_folder, tables_folder
from kbit.warehouse.query import find_tables, flatten, query_tables

ROWS_SHOWN = 200
"""Of a printed table; CSV and JSON have all."""
LEAST_WIDTH = 12
"""Of a column of text."""


def query(sql: str, study: str, as_csv: bool, as_json: bool) -> None:
    """Print the answer to one statement. UserError for a mistake in it, or where there is no such study."""
    if as_csv and as_json:
        raise UserError("--csv and --json exclude each other")
    frame = query_tables(find_tables(study_folder(find_study(study))), sql)
    if as_csv:
        sys.stdout.write(flatten(frame).write_csv())
    elif as_json:
        # polars writes what Python's JSON has no word for, NaN, as null.
        print(json.dumps(json.loads(frame.write_json()), indent=2, ensure_ascii=False))
    else:
        print_frame(frame)


def find_study(study: str) -> str:
    """The name of the study to ask: of a YAML file, or of a folder of results; the only one there is, if none is named.

    UserError, naming those that have tables, if it has none.
    """
    named = read_yaml(Path(study)) if study.endswith((".yaml", ".yml")) else None
    name = str(named.get("name")) if isinstance(named, dict) else study
    known = sorted(folder.parent.name for folder in study_folder("*").parent.glob("*/tables") if any(folder.iterdir()))
    if not name and len(known) == 1:
        return known[0]
    if name in known:
        return name
    there = f"tables there are of {', '.join(known)}" if known else "no study has tables yet: `kbit run` makes them"
    wanted = f"no tables of the study {name!r} in {tables_folder(name)}" if name else "name a study by --study"
    raise UserError(f"{wanted}; {there}")


def print_frame(frame: pl.DataFrame) -> None:
    table = Table()
    shown = [[as_text(value) for value in row] for row in flatten(frame.head(ROWS_SHOWN)).iter_rows()]
    for index, (name, kind) in enumerate(frame.schema.items()):
        widest = max([len(name), *(len(row[index]) for row in shown)])
        # Text may be folded on a narrow terminal, numbers never.
        least = widest if kind.is_numeric() else min(widest, LEAST_WIDTH)
        table.add_column(name, justify="right" if kind.is_numeric() else "left", overflow="fold", min_width=least)
    for row in shown:
        table.add_row(*map(Text, row))
    console = open_console()
    console.print(table)
    more = f", the first {ROWS_SHOWN} are shown; --csv prints all" if frame.height > ROWS_SHOWN else ""
    console.print(f"{frame.height:,} rows{more}", highlight=False)


def as_text(value: object) -> str:
    """A value of the answer; whole numbers with separators, others with six digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
