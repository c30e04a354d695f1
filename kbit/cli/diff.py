"""`kbit diff`: what changed in a study since its last report, or between its last two."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars import selectors

from kbit.report.changes import KEY, Changes, change_words, find_changes, verdict_words
from kbit.report.render import TABLES, read_fits
from kbit.report.snapshot import read_before, take_snapshot
from kbit.spec.errors import UserError
from kbit.spec.section import load_section
from kbit.spec.study import StudyConfig
from kbit.store.paths import fits_path, report_path, tables_folder
from kbit.warehouse import read_table


def diff(study: Path, as_json: bool) -> None:
    """Print the changes, one line each, or as JSON. UserError where nothing earlier is kept."""
    name = load_section(StudyConfig, study).name
    frames = {table: read_table(tables_folder(name), table) for table in TABLES}
    now = take_snapshot(frames, read_fits(fits_path(name)))
    folder = report_path(name).parent
    before = read_before(folder, now)
    if before is None:
        raise UserError(f"{folder} keeps no earlier report to compare with: `kbit report {study}` keeps what it shows")
    changes = find_changes(before, now)
    if as_json:
        print(json.dumps(to_json(changes), indent=2))
    else:
        for line in change_lines(changes):
            print(line)


def change_lines(changes: Changes) -> Iterator[str]:
    since = f", whose newest cell began {changes.since}" if changes.since else ""
    counts = f"{changes.new.height} new, {changes.changed.height} changed, {changes.gone.height} gone"
    yield f"cells since the report before{since}: {counts}; verdicts moved: {changes.moved.height}"
    for row in changes.moved.iter_rows(named=True):
        was, now = verdict_words(row["was_best_bits"], row["was_low"], row["was_high"]), verdict_of(row)
        yield f"verdict  {row['family']}, {row['metric']}, {row['bit_accounting']}: {was} -> {now}"
    for row in changes.changed.iter_rows(named=True):
        weights = "" if row["cell_id"] == row["was_cell_id"] else f" (another cell: {row['cell_id'][:12]})"
        yield f"changed  {cell_name(row)}: {change_words(row, 'was_')} -> {change_words(row)}{weights}"
    for kind, frame in (("new", changes.new), ("gone", changes.gone)):
        for row in frame.iter_rows(named=True):
            yield f"{kind:7}  {cell_name(row)}: {change_words(row)}"


def verdict_of(row: dict[str, object]) -> str:
    return verdict_words(row["best_bits"], row["low"], row["high"])


def cell_name(row: dict[str, object]) -> str:
    return "/".join(str(row[name]) for name in KEY)


def to_json(changes: Changes) -> dict[str, object]:
    frames = {"new": changes.new, "changed": changes.changed, "gone": changes.gone, "verdicts": changes.moved}
    return {"since": changes.since, **{name: frame_records(frame) for name, frame in frames.items()}}


def frame_records(frame: pl.DataFrame) -> list[dict[str, object]]:
    """Rows with null for what JSON cannot say."""
    floats = selectors.float()
    return frame.with_columns(pl.when(floats.is_finite()).then(floats)).to_dicts()
