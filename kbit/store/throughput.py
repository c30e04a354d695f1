"""results/throughput.json: how fast models were really scored, for the plan of the next study.

Written whenever a study's tables are built, read when a study is planned; never the input of a rule, so that nothing
runs again because of it. JSON, as planning reads it and imports neither pyarrow nor polars. Deleting it loses nothing
that building the tables again does not bring back.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kbit.spec.errors import UserError
from kbit.store.atomic import write_json_if_changed

VERSION = 2
"""Of the file. One of another version is left aside, and replaced when tables are built."""
ENOUGH_CELLS = 20
"""A newer measurement of so many cells takes the place of an older one of more: releases become faster, drivers change.
Of fewer, a cold start or a busy node may be all there is to see."""
KEY = ("device", "gpus", "placement", "architecture", "parameters", "dtype", "threads")


@dataclass(frozen=True, slots=True)
class Throughput:
    """Of cells that one kind of machine scored on models of one shape."""

    device: str
    """cpu, or the GPU's name."""
    gpus: int
    placement: str
    architecture: str
    parameters: int
    dtype: str
    threads: int
    model_ids: tuple[str, ...]
    """Identities of the models measured, sorted."""
    cells: int
    tokens: int
    """That went through the models, padding left out."""
    tokens_per_second: float
    """Median over cells, fixed time included."""
    flop_per_second: float
    """Sustained, as `kbit.spec.flop` counts; without the fixed time where it could be told apart."""
    cell_seconds: float
    """Fixed time of a cell; 0 where the tasks' sizes are too alike to tell it apart."""
    quantize_seconds: float | None
    """Per quantized parameter and spec; None if only the 16-bit control was scored."""
    measured_at: str
    """UTC time at which the last of the cells was started, ISO 8601."""

    @property
    def key(self) -> tuple:
        return tuple(getattr(self, name) for name in KEY)


@dataclass(frozen=True, slots=True)
class PredictionRatio:
    """How far predictions lay from what a study's cells took."""

    cells: int
    median_ratio: float
    """Of predicted to measured seconds of scoring a cell."""
    low_ratio: float
    """The tenth percentile."""
    high_ratio: float
    """The ninetieth."""
    sources: tuple[str, ...]
    """What the predictions were made from."""


@dataclass(frozen=True, slots=True)
class ThroughputTable:
    """All that is known."""

    rows: tuple[Throughput, ...] = ()
    predictions: Mapping[str, PredictionRatio] = field(default_factory=dict)
    """By study."""

    def merged(self, rows: Iterable[Throughput]) -> "ThroughputTable":
        """With `rows` taken in. Of two rows of one key the newer stays, if it has enough cells or as many."""
        known = {row.key: row for row in self.rows}
        for row in rows:
            known[row.key] = newer(known.get(row.key, row), row)
        return ThroughputTable(tuple(known[key] for key in sorted(known)), self.predictions)

    def with_prediction(self, study: str, error: PredictionRatio | None) -> "ThroughputTable":
        """None: the study has no cell to compare, what was said of it goes."""
        others = {name: known for name, known in self.predictions.items() if name != study}
        return ThroughputTable(self.rows, others if error is None else {**others, study: error})


def newer(first: Throughput, second: Throughput) -> Throughput:
    """The one measured later, unless it has both fewer cells than the other and fewer than are enough.

    Which was taken in later says nothing: building the tables of an old study takes its old cells in again.
    """
    earlier, later = sorted((first, second), key=lambda row: row.measured_at)
    return later if later.cells >= min(ENOUGH_CELLS, earlier.cells) else earlier


def read_throughput(path: Path) -> ThroughputTable:
    """The table of a file; empty where there is none or one of another version. UserError for a damaged one."""
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != VERSION:
            return ThroughputTable()
        rows = [Throughput(**row | {"model_ids": tuple(row["model_ids"])}) for row in content["rows"]]
        predictions = {
            study: PredictionRatio(**error | {"sources": tuple(error["sources"])})
            for study, error in content["predictions"].items()
        }
    except FileNotFoundError:
        return ThroughputTable()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error!r}): drop it with `rm {path}`, it is only a help") from None
    return ThroughputTable(tuple(rows), predictions)


def write_throughput(path: Path, table: ThroughputTable) -> None:
    """Write the table whole or not at all; one that did not change is left alone."""
    predictions = {study: asdict(error) for study, error in table.predictions.items()}
    rows = [asdict(row) for row in table.rows]
    write_json_if_changed(path, {"version": VERSION, "rows": rows, "predictions": predictions})
