"""Dropping a part without losing a row: what stands in no journal is journaled first."""

from pathlib import Path

from kbit.spec.errors import UserError
from kbit.spec.rows import FINAL_STATUSES
from kbit.store.journal import JournalScan, JournalWriter, new_journal_path
from kbit.store.parts import DamagedPartError, part_rows, read_part
from kbit.store.paths import journal_folder
from kbit.store.writers import shard_of


def drop_part(part: Path) -> int:
    """Remove a part; returns the number of final rows that no journal had, which one has now.

    A damaged part holds nothing that could be kept. UserError, and nothing removed, if the part cannot be read or a
    journal cannot be written.
    """
    try:
        kept = journal_rows(part)
    except DamagedPartError:
        kept = 0
    try:
        part.unlink()
    except OSError as error:
        raise UserError(f"{part} cannot be removed: {error.strerror or error}") from None
    return kept


def journal_rows(part: Path) -> int:
    """Write those final rows of a part into a new journal that stand in none; returns how many."""
    folder = journal_folder(part.parent.name)
    known = JournalScan(folder).finished_cells()
    found = read_part(part, ["cell_id", "status"])
    missing = found.filter(found["status"].is_in(FINAL_STATUSES) & ~found["cell_id"].is_in(list(known)))
    if missing.is_empty():
        return 0
    frame = read_part(part)
    rows = part_rows(frame.filter(frame["cell_id"].is_in(missing["cell_id"].to_list())))
    try:
        with JournalWriter(new_journal_path(folder, shard_of(part))) as journal:
            for row in rows:
                journal.row(row)
    except OSError as error:
        raise UserError(f"the rows of {part} cannot be journaled, so it stays: {error.strerror or error}") from None
    return len(rows)
