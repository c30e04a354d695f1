"""The part: the Parquet file of a shard's rows, one row per cell, sorted by cell id.

Written through pyarrow, whose writer and reader keep and verify a checksum of every page: polars' would
let a flipped bit through. A part is a view of the journals, so whatever is wrong with one, dropping it loses nothing.
"""

import os
import shlex
import socket
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from kbit.spec.errors import UserError
from kbit.spec.rows import ROW_VERSION
from kbit.store.disk import cannot_write
from kbit.store.journal import sync_folder
from kbit.store.rows import Row, check_row, refuse_unknown
from kbit.store.schema import SCHEMA

VERSION_KEY = b"kbit_row_version"


class DamagedPartError(UserError):
    """A part that is truncated, corrupted, or no part at all."""


def write_part(rows: Sequence[Mapping[str, object]], path: Path, metadata: Mapping[str, str]) -> None:
    """Write rows as one Parquet file that is either wholly there under its name or not at all.

    `metadata` goes into the file's key-value metadata beside the row version. ValueError if a row does not fit
    the schema or a cell has two rows. UserError names a part that cannot be written.
    """
    table = rows_table(rows).replace_schema_metadata(
        {VERSION_KEY: str(ROW_VERSION), **{f"kbit_{key}": value for key, value in metadata.items()}}
    )
    # Dot-prefixed, so that no pattern for parts matches it; in the same folder, so that the rename is atomic.
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(table, temporary)
        check_written(table, temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write("part", path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_table(table: pa.Table, path: Path) -> None:
    """Log-likelihoods hardly repeat: a dictionary of them takes more room than they do. Split into streams of first,
    second, ... bytes, the signs and exponents stand side by side and compress (bench/samples_size.py)."""
    floats = [f"{field.name}.list.element" for field in table.schema if field.type == pa.list_(pa.float32())]
    with path.open("wb") as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            use_dictionary=[column for column in parquet_columns(table.schema) if column not in floats],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
            write_page_checksum=True,
        )
        file.flush()
        os.fsync(file.fileno())


@cache
def parquet_columns(schema: pa.Schema) -> tuple[str, ...]:
    """What Parquet calls the columns: a list's elements and the fields of a struct are columns of their own."""
    empty = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), empty)
    columns = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    return tuple(columns.column(index).path for index in range(len(columns)))


def rows_table(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Rows as an Arrow table in the schema's order of columns, sorted by cell id."""
    for row in rows:
        check_row(row)
    ordered = sorted(rows, key=lambda row: row["cell_id"])
    if len({row["cell_id"] for row in ordered}) < len(ordered):
        raise ValueError("a part holds one row per cell")
    columns = [column_array([row.get(field.name) for row in ordered], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def column_array(values: list, kind: pa.DataType) -> pa.Array:
    if pa.types.is_list(kind) and not pa.types.is_struct(kind.value_type):
        element = kind.value_type.to_pandas_dtype()
        values = [None if value is None else np.asarray(value, dtype=element) for value in values]
    return pa.array(values, type=kind)


def check_written(table: pa.Table, path: Path) -> None:
    """OSError unless the file reads back as the table (a full or failing disk)."""
    try:
        written = read_part(path)
    except UserError as error:
        raise OSError(f"a part does not read back: {error}") from None
    # polars counts NaN equal to NaN, which pyarrow does not.
    if not written.equals(pl.from_arrow(table), null_equal=True):
        raise OSError(f"a part reads back otherwise than it was written: {path}")


def read_part(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of a part, sorted by cell id: every column of the schema, or the given ones.

    Columns that an older part lacks are null. DamagedPartError names a part that is truncated, corrupted or foreign
    with the command that drops it; UserError names columns that only a newer release knows.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        found = file.schema_arrow
        if VERSION_KEY not in (found.metadata or {}):
            raise damaged(path, "was not written by kbit")
        refuse_unknown(found.names, f"part {path}")
        chosen = list(columns) if columns is not None else SCHEMA.names
        table = file.read(columns=[name for name in chosen if name in found.names])
        return pl.from_arrow(conform(table, chosen, path))
    except FileNotFoundError:
        raise UserError(f"no part {path}") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        # Arrow's own complaints about content are OSErrors without a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(f"part {path} cannot be read: {error.strerror}") from None
        raise damaged(path, "is damaged or not Parquet") from None


def conform(table: pa.Table, chosen: Sequence[str], path: Path) -> pa.Table:
    """The chosen columns in the schema's types; null where an older part has none."""
    arrays = []
    for name in chosen:
        field = SCHEMA.field(name)
        if name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, field.type))
        elif table.column(name).type.equals(field.type):
            arrays.append(table.column(name))
        else:
            raise damaged(path, f"has a column {name} of type {table.column(name).type} instead of {field.type}")
    return pa.table(arrays, names=list(chosen))


def damaged(path: Path, what: str) -> DamagedPartError:
    return DamagedPartError(
        f"part {path} {what}; drop it with `rm {shlex.quote(str(path))}` and run the study again: "
        "its rows come back from the journal"
    )


def read_parts(paths: Iterable[Path], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of several parts, in the order of the paths; errors as `read_part`."""
    frames = [read_part(path, columns) for path in paths]
    if not frames:
        chosen = SCHEMA.names if columns is None else columns
        return pl.from_arrow(SCHEMA.empty_table().select(list(chosen)))
    return pl.concat(frames)


def part_rows(frame: pl.DataFrame) -> list[Row]:
    """The rows of a part as a journal gives them: `samples` as a float32 array, `greedy` as a bool array."""
    lists = ("samples", "greedy")
    rows = frame.drop(lists).to_dicts()
    for name in lists:
        for row, values in zip(rows, frame[name], strict=True):
            row[name] = None if values is None else values.to_numpy()
    return rows
