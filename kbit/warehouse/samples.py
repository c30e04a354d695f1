"""samples: a view on the parts, what every cell made of every request. Never written as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kbit.store.parts import read_part

COLUMNS = ("cell_id", "model_id", "spec", "task", "requests", "samples", "greedy")


def samples(parts: Sequence[Path]) -> pl.LazyFrame:
    """One row per cell: its ids, the digest of its requests file, `samples` (nats, in that file's order) and `greedy`.

    Lazy, for users: a filter reads only what it needs. The engine may return rows in any order; sort them.
    """
    return pl.scan_parquet(list(parts)).select(COLUMNS)


@dataclass(frozen=True)
class Samples:
    """What cells of one requests file made of its requests."""

    loglikelihoods: NDArray[np.float32]
    """f32 [cells, requests], nats"""
    greedy: NDArray[np.bool_] | None
    """[cells, requests]: every token of the request is the most likely one; None where some cell has none."""


class SampleReader:
    """Reads samples by cell, of a study's parts.

    The parts of the last call stay in memory: who asks for the tasks of one model after another reads each part once.
    """

    def __init__(self, parts: Sequence[Path]) -> None:
        self._part_of = {cell_id: part for part in parts for cell_id in read_part(part, ["cell_id"])["cell_id"]}
        self._held: dict[Path, pl.DataFrame] = {}

    def read(self, cell_ids: Sequence[str]) -> Samples | None:
        """The samples of cells of one requests file, in the order of `cell_ids`.

        None where a cell has none, or not as many as the others.
        """
        needed = sorted({self._part_of[cell_id] for cell_id in cell_ids})
        self._held = {part: self._held[part] for part in needed if part in self._held}
        wanted = pl.DataFrame({"cell_id": list(cell_ids)})
        found = pl.concat([self._open(part).join(wanted, on="cell_id", how="semi") for part in needed])
        lists = wanted.join(found, on="cell_id", how="left", maintain_order="left")
        loglikelihoods = stack(lists["samples"])
        return None if loglikelihoods is None else Samples(loglikelihoods, stack(lists["greedy"]))

    def _open(self, part: Path) -> pl.DataFrame:
        if part not in self._held:
            self._held[part] = read_part(part, ["cell_id", "samples", "greedy"])
        return self._held[part]


def stack(lists: pl.Series) -> NDArray | None:
    """Lists as the rows of an array; None unless all are there, equally long, and not empty."""
    lengths = lists.list.len()
    if lists.null_count() or lengths.n_unique() > 1 or not lengths.max():
        return None
    return lists.explode().to_numpy().reshape(len(lists), -1)
