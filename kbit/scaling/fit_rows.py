"""The fits: long rows, one fitted quantity each, with its interval, method and status."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import polars as pl

LEVEL = 0.95
"""Coverage that every interval aims at."""

ALL = "all"
"""In a column that selects: the quantity is of all of them together."""
BEST = "best"
"""In data_type, block_size, options: for each k the best spec at every size, whichever it is."""

SCHEMA = pl.Schema(
    {
        "fit": pl.String,
        "family": pl.String,
        "task_set": pl.String,
        "metric": pl.String,
        "bit_accounting": pl.String,
        "data_type": pl.String,
        "block_size": pl.String,
        "options": pl.String,
        "spec": pl.String,
        "bits": pl.Int32,
        "quantity": pl.String,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "level": pl.Float64,
        "n": pl.Int32,
        "method": pl.String,
        "settings": pl.String,
        "status": pl.String,
        "note": pl.String,
    }
)
KEY = tuple(SCHEMA.names()[: SCHEMA.names().index("value")])
"""What tells rows apart, and orders them."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a fit is about: which family, which metric over which tasks, which count of bits, which specs."""

    fit: str
    family: str
    task_set: str
    metric: str
    bit_accounting: str
    """body_bits or total_bits."""
    data_type: str
    block_size: str
    options: str = ""
    """What of the specs is not at its default, as in their slug; empty for most."""
    spec: str | None = None
    """Slug, where it is of one spec alone."""
    bits: int | None = None
    """The k that the quantity is of; None if it is of all."""


@dataclass(frozen=True, slots=True)
class FitRow:
    """One fitted quantity. `undetermined` rows have no value and a note that says what is missing."""

    subject: Subject
    quantity: str
    n: int
    """How many points (model, spec) it was fitted to."""
    method: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    status: str = "ok"
    note: str = ""
    settings: str = ""
    """What the analyst chose and another might not: which points were left out, the Huber loss's delta, the starts."""
    bits: int | None = None
    """The k the quantity is of, where the subject does not say."""

    def to_dict(self) -> dict[str, object]:
        """The row as columns of `SCHEMA`."""
        about = {name: getattr(self.subject, name) for name in SUBJECT_COLUMNS}
        own = {name: getattr(self, name) for name in OWN_COLUMNS}
        bits = self.bits if self.bits is not None else self.subject.bits
        has_interval = self.low is not None and self.high is not None
        return {**about, **own, "bits": bits, "level": LEVEL if has_interval else None}


SUBJECT_COLUMNS = tuple(field.name for field in fields(Subject) if field.name != "bits")
OWN_COLUMNS = tuple(field.name for field in fields(FitRow) if field.name not in ("subject", "bits"))


def undetermined(subject: Subject, quantity: str, n: int, method: str, note: str, settings: str = "") -> FitRow:
    """The row of a quantity that the data cannot give."""
    return FitRow(subject, quantity, n, method, status="undetermined", note=note, settings=settings)


def fit_frame(rows: Iterable[FitRow]) -> pl.DataFrame:
    """Rows as a sorted frame of `SCHEMA`; NaN and infinities become null."""
    frame = pl.DataFrame([row.to_dict() for row in rows], schema=SCHEMA, orient="row", infer_schema_length=None)
    finite = [pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in ("value", "low", "high")]
    return frame.with_columns(finite).sort(KEY, nulls_last=True)
