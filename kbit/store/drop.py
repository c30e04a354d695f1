"""Dropping a part without losing a row: what stands in no journal is journaled first."""

from collections.abc import Sequence
from pathlib import Path

from kbit.spec.errors import UserError
from kbit.spec.rows import FINAL_STATUSES
from kbit.store.journal import JournalScan, JournalWriter, new_journal_path
from kbit.store.parts import DamagedPartError, part_rows, read_part
from kbit.store.paths import journal_folder
from kbit.store.writers import shard_of


def drop_part(part: Path, scan: JournalScan | None = None) -> int:
    """Remove a part; returns the number of final rows that no journal had, which one has now.

    A damaged part holds nothing that could be kept. UserError, and nothing removed, if the part cannot be read or a
    journal cannot be written. `scan`: of its model's journals, for whoever drops several and reads them once.
    """
    missing = unjournaled_cells(part, scan or JournalScan(journal_folder(part.parent.name)))
    kept = journal_rows(part, missing) if missing else 0
    remove_part(part)
    return kept


def drop_copy(part: Path, scan: JournalScan) -> bool:
    """Remove a part if every final row of it stands in a journal; False, and it stays, otherwise. Writes nothing."""
    if unjournaled_cells(part, scan):
        return False
    remove_part(part)
    return True


def unjournaled_cells(part: Path, scan: JournalScan) -> list[str]:
    """Cells whose final row the part has and no journal; none of a damaged part."""
    try:
        found = read_part(part, ["cell_id", "status"])
    except DamagedPartError:
        return []
    known = scan.finished_cells()
    final = found.filter(found["status"].is_in(FINAL_STATUSES))["cell_id"]
    return [cell for cell in final if cell not in known]


def journal_rows(part: Path, cells: Sequence[str]) -> int:
    """Write the rows of these cells into a new journal; returns how many. UserError if that cannot be done."""
    try:
        frame = read_part(part)
    except DamagedPartError:
        return 0  # in one of the columns that tell no cell
    rows = part_rows(frame.filter(frame["cell_id"].is_in(cells)))
    try:
        with JournalWriter(new_journal_path(journal_folder(part.parent.name), shard_of(part))) as journal:
            for row in rows:
                journal.row(row)
    except OSError as error:
        raise UserError(f"the rows of {part} cannot be journaled, so it stays: {error.strerror or error}") from None
    return len(rows)


def remove_part(part: Path) -> None:
    try:
        part.unlink()
    except OSError as error:
        raise UserError(f"{part} cannot be removed: {error.strerror or error}") from None
