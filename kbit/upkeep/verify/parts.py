"""A part: page checksums and schema, its key against its cells, its rows against those of the journal."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from kbit.spec.cell import shard_key
from kbit.spec.errors import UserError
from kbit.spec.models import model_slug
from kbit.spec.rows import FINAL_STATUSES
from kbit.store.parts import DamagedPartError, part_rows, read_part
from kbit.store.rows import encode_row
from kbit.upkeep.finding import Finding
from kbit.upkeep.verify.identity import OTHER_CELL, names_another_cell
from kbit.upkeep.verify.records import Outcome, Records, drop

AGAIN = "and run the study again: its rows come back from the journal"


def check_part(path: Path, records: Records) -> Iterator[Finding]:
    """Findings on one part; its final rows are compared with what `records` has of their cells."""
    remedy = f"{drop(path)}, {AGAIN}"
    try:
        frame = read_part(path)
    except DamagedPartError as error:
        yield Finding("problem", str(error).partition(";")[0], remedy)
        return
    except UserError as error:
        yield Finding("problem", str(error), "use a newer kbit, or see to the file system")
        return
    for fault in (*name_faults(path, frame), *row_faults(path, frame, records)):
        yield Finding("problem", f"part {path}: {fault}", remedy)


def name_faults(path: Path, frame: pl.DataFrame) -> Iterator[str]:
    """Where the name of a part and its content disagree."""
    cells = frame["cell_id"]
    slice_name, _, key = path.stem.rpartition(".")
    if twice := cells.len() - cells.n_unique():
        yield f"{twice} cells stand in it more than once"
    elif shard_key(cells) != key:
        yield f"its {cells.len()} cells have the key {shard_key(cells)}, not that of its name"
    stated = pl.read_parquet_metadata(path)
    for what, named in (("slice", slice_name), ("key", key)):
        if stated.get(f"kbit_{what}", named) != named:
            yield f"it was written as {what} {stated[f'kbit_{what}']}, which is not that of its name"
    for model_id in frame["model_id"].unique(maintain_order=True):
        if model_slug(model_id) != path.parent.name:
            yield f"it holds rows of {model_id}, whose folder this is not"


def row_faults(path: Path, frame: pl.DataFrame, records: Records) -> Iterator[str]:
    """How many rows are not the copies that they should be."""
    faults: Counter[str] = Counter()
    for row in part_rows(frame.filter(frame["status"].is_in(FINAL_STATUSES))):
        try:
            fault = records.add_copy(row["cell_id"], Outcome.of(encode_row(row)), path)
            fault = fault or (OTHER_CELL if names_another_cell(row) else "")
        except ValueError as error:
            fault = f"not a row of this schema ({error})"
        if fault:
            faults[fault] += 1
    for fault, count in faults.items():
        yield f"{count} rows: {fault}"
