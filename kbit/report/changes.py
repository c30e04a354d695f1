"""What differs between two snapshots of a study: cells that are new, gone or changed, verdicts that moved."""

from dataclasses import dataclass

import polars as pl

from kbit.report.snapshot import VERDICT_KEY, Snapshot

KEY = ["model", "spec", "task"]


@dataclass(frozen=True)
class Changes:
    """The later snapshot against the earlier one."""

    since: str
    """Start of the newest cell of the earlier snapshot, UTC."""
    new: pl.DataFrame
    gone: pl.DataFrame
    changed: pl.DataFrame
    """Cells of both whose status, score or identity differs: the later columns, and the earlier ones as `was_…`."""
    moved: pl.DataFrame
    """Verdicts whose best k, or its interval, differs."""

    @property
    def is_empty(self) -> bool:
        return not any(frame.height for frame in (self.new, self.gone, self.changed, self.moved))


def find_changes(before: Snapshot, after: Snapshot) -> Changes:
    """Cells are matched by the names of model, spec and task: new weights under an old name are a changed cell."""
    both = after.cells.join(
        before.cells.select(*KEY, pl.col("cell_id", "status", "value", "stderr").name.prefix("was_")),
        on=KEY,
        how="inner",
    )
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"was_{name}")) for name in ("cell_id", "status", "value")
    )
    return Changes(
        since=before.date,
        new=after.cells.join(before.cells, on=KEY, how="anti").sort(KEY),
        gone=before.cells.join(after.cells, on=KEY, how="anti").sort(KEY),
        changed=both.filter(differs).sort(KEY),
        moved=moved_verdicts(before, after),
    )


def moved_verdicts(before: Snapshot, after: Snapshot) -> pl.DataFrame:
    """One row per headline verdict that is new, gone, or has another best k or interval."""
    columns = ("best_bits", "low", "high")
    was = before.verdicts.select(*VERDICT_KEY, pl.col(columns).name.prefix("was_"))
    joined = after.verdicts.select(*VERDICT_KEY, *columns).join(was, on=VERDICT_KEY, how="full", coalesce=True)
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"was_{name}")) for name in columns)
    return joined.filter(differs).sort(VERDICT_KEY)


def verdict_words(best: float | None, low: float | None, high: float | None) -> str:
    """`4 bits (95 %: 3 to 5)`, `4 bits`, or `undetermined`."""
    if best is None:
        return "undetermined"
    interval = "" if low is None or low == high else f" (95 %: {low:.0f} to {high:.0f})"
    return f"{best:.0f} bits{interval}"


def change_words(row: dict[str, object], prefix: str = "") -> str:
    """A cell's score with its status, as lists of changes show it."""
    value, status = row[f"{prefix}value"], row[f"{prefix}status"]
    text = "no score" if value is None else f"{value:.5g}"
    return text if status == "ok" else f"{text} ({status})"
