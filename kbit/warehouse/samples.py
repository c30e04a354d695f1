"""samples: a view on the parts, the log-likelihood of every request of every cell. Never written as a table."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kbit.store.parts import read_part, read_parts

COLUMNS = ("cell_id", "model_id", "spec", "task", "requests", "samples")


def samples(parts: Sequence[Path]) -> pl.LazyFrame:
    """One row per cell: its ids, the digest of its requests file, and `samples` (nats, in that file's order).

    Lazy, for users: a filter reads only what it needs. The engine may return rows in any order; sort them.
    """
    return pl.scan_parquet(list(parts)).select(COLUMNS)


def locate_cells(parts: Sequence[Path]) -> dict[str, Path]:
    """The part of every cell."""
    return {cell_id: part for part in parts for cell_id in read_part(part, ["cell_id"])["cell_id"]}


def read_samples(cell_ids: Sequence[str], part_of: dict[str, Path]) -> NDArray[np.float32] | None:
    """f32 [cells, requests]: the samples of cells of one requests file, in the order of `cell_ids`.

    None where a cell has none, or not as many as the others.
    """
    parts = sorted({part_of[cell_id] for cell_id in cell_ids})
    found = read_parts(parts, ["cell_id", "samples"])
    wanted = pl.DataFrame({"cell_id": list(cell_ids)})
    lists = wanted.join(found, on="cell_id", how="left", maintain_order="left")["samples"]
    if lists.null_count() or lists.list.len().n_unique() > 1:
        return None
    return lists.explode().to_numpy().reshape(len(lists), -1)
