"""SQL over the tables of a study, as polars understands it: read-only, and nothing has to be loaded first."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from kbit.spec.errors import UserError


def find_tables(study_folder: Path) -> dict[str, Path]:
    """The tables of a study by name: those in `tables/`, and what stands beside them (fits, claims)."""
    files = [*sorted((study_folder / "tables").glob("[!.]*.parquet")), *sorted(study_folder.glob("[!.]*.parquet"))]
    return {file.stem: file for file in files}


def query_tables(tables: Mapping[str, Path], sql: str) -> pl.DataFrame:
    """The answer to one statement. UserError, in one line, for SQL that polars does not understand or cannot carry out.

    Rows come in any order unless the statement has ORDER BY.
    """
    context = pl.SQLContext({name: pl.scan_parquet(path) for name, path in tables.items()}, eager=False)
    try:
        return context.execute(sql).collect()
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{one_line(error)} (the tables are {', '.join(tables)})") from None


def one_line(error: Exception) -> str:
    """What polars says first; a plan of the query and hints may follow it."""
    said = str(error).strip() or type(error).__name__
    return " ".join(said.split("\n\n")[0].split())


def flatten(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists and structs as JSON text, for formats that have none."""
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    return frame.with_columns(pl.col(name).map_elements(as_json, return_dtype=pl.String) for name in nested)


def as_json(value: object) -> str:
    return pl.DataFrame({"value": [value]}).write_json().removeprefix('[{"value":').removesuffix("}]")
