"""A part can be dropped, its rows cannot."""

import pytest
from row_counts import row_counts

from kbit.store.drop import drop_part
from kbit.store.journal import JournalWriter, new_journal_path, read_journals
from kbit.store.parts import write_part
from kbit.store.paths import journal_folder, part_path

CELLS = [f"{number:032x}" for number in range(3)]


@pytest.fixture
def part(make_row, tmp_path, monkeypatch):
    """A part of an ok, a collapsed and a failed row; the first stands in a journal."""
    monkeypatch.chdir(tmp_path)
    rows = [make_row(cell, status) for cell, status in zip(CELLS, ("ok", "collapsed", "failed"), strict=True)]
    with JournalWriter(new_journal_path(journal_folder("m"), "all.0123456789ab")) as journal:
        journal.row(rows[0])
    path = part_path("m", "all", "0123456789ab")
    write_part(rows, path, {})
    return path


def test_rows_that_stand_in_no_journal_are_journaled_first(part, make_row, row_bits):
    assert drop_part(part) == 1
    assert not part.exists()
    state = read_journals(journal_folder("m"))
    assert row_bits(state.rows) == row_bits({CELLS[0]: make_row(CELLS[0]), CELLS[1]: make_row(CELLS[1], "collapsed")})
    assert row_counts(journal_folder("m")) == {CELLS[0]: 1, CELLS[1]: 1}
    assert not state.failed


def test_a_part_that_is_a_copy_of_the_journal_is_just_removed(part):
    drop_part(part)
    journals = sorted(journal_folder("m").iterdir())
    write_part(list(read_journals(journal_folder("m")).rows.values()), part, {})
    assert drop_part(part) == 0
    assert sorted(journal_folder("m").iterdir()) == journals


def test_a_damaged_part_is_removed(part):
    part.write_bytes(part.read_bytes()[:-3])
    assert drop_part(part) == 0
    assert not part.exists()
