"""Compaction loses no row, whatever the journals hold, and keeps its hands off journals in use."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kbit.spec.errors import UserError
from kbit.store import compaction
from kbit.store.compaction import compact_journals
from kbit.store.journal import JournalScan, new_journal_path, read_journals
from kbit.store.lines import DEATH, START, decode_line, encode_line
from kbit.store.rows import encode_row
from kbit.store.writers import SETTLE_SECONDS, this_host

CELLS = [f"{number:032x}" for number in range(4)]
LONG_AGO = time.time() - 30 * 24 * 3600

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(CELLS),
        st.sampled_from([START, DEATH, "ok", "collapsed", "unsupported", "crashed", "failed"]),
        st.integers(0, 2),
        st.sampled_from(["intact"] * 6 + ["damaged"]),
    ),
    max_size=8,
)


def line_of(make_row, cell: str, what: str, variant: int, state: str) -> bytes:
    notes = {START: {"variant": variant}, DEATH: {"died_at": f"at {variant}"}}
    content = notes.get(what) or {"row": encode_row(make_row(cell, what, seconds=variant / 8))}
    line = encode_line(cell, what, content)
    return line if state == "intact" else line[:40] + b"?" + line[41:]


def write_old(folder: Path, journals: list[bytes], host: str = "far_away") -> list[Path]:
    """Journals that writers of another machine left long ago."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number, content in enumerate(journals):
        path = folder / f"all.{number:012x}.20260101T00000{number}.000000Z-{host}-77.jsonl"
        path.write_bytes(content)
        os.utime(path, (LONG_AGO, LONG_AGO))
        paths.append(path)
    return paths


def rows_in(folder: Path) -> set[bytes]:
    """Every intact line of a row."""
    lines = (line for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines())
    return {line for line in lines if (event := decode_line(line)) and event.is_row}


def state_of(folder: Path, row_bits) -> tuple:
    state = read_journals(folder)
    return row_bits(state.rows), row_bits(state.failed), state.open_starts, state.deaths


@given(journals=st.lists(EVENTS, min_size=2, max_size=4), torn=st.booleans(), killed=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_nothing_that_journals_say_is_lost(journals, torn, killed, make_row, row_bits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("journal")
    contents = [b"".join(line_of(make_row, *event) for event in events) for events in journals]
    paths = write_old(folder, [content[:-1] if torn else content for content in contents])
    kept = {path: path.read_bytes() for path in paths}
    rows, state = rows_in(folder), state_of(folder, row_bits)
    assert compact_journals(folder, idle_hours=1).journals == len(journals)
    (merged,) = folder.iterdir()
    if killed:
        # As if it had died before it removed the old ones: they are merged with what it wrote.
        for path, content in kept.items():
            path.write_bytes(content)
        for path in folder.iterdir():
            os.utime(path, (LONG_AGO, LONG_AGO))
        foreign = merged.rename(folder / merged.name.replace(f"-{os.getpid()}.", "-0."))
        foreign.rename(folder / foreign.name.replace(this_host(), "far_away"))
        compact_journals(folder, idle_hours=1)
        (merged,) = folder.iterdir()
    assert rows_in(folder) == rows
    assert state_of(folder, row_bits) == state
    lines = merged.read_bytes().splitlines()
    deaths = sum(map(len, state[3].values()))
    assert len(lines) == len(set(lines)) == len(rows) + len(state[2]) + deaths
    assert JournalScan(folder).finished_cells() == set(state[0])


def a_row(make_row, cell: str = CELLS[0]) -> bytes:
    return line_of(make_row, cell, "ok", 0, "intact")


@pytest.fixture
def two_old(make_row, tmp_path) -> Path:
    write_old(tmp_path / "journal", [a_row(make_row), a_row(make_row, CELLS[1])])
    return tmp_path / "journal"


def assert_untouched(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert compact_journals(folder) is None
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_journals_beside_one_of_a_living_process_are_left_alone(make_row, two_old):
    living = new_journal_path(two_old, "all.0123456789ab")
    living.write_bytes(a_row(make_row, CELLS[2]))
    os.utime(living, (LONG_AGO, LONG_AGO))  # a cell may take long
    assert_untouched(two_old)


def test_journals_beside_one_of_a_dead_process_are_merged_after_a_moment(make_row, two_old):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = two_old / new_journal_path(two_old, "all.0123456789ab").name.replace(f"-{os.getpid()}.", f"-{process.pid}.")
    dead.write_bytes(a_row(make_row, CELLS[2]))
    assert_untouched(two_old)
    moment = time.time() - SETTLE_SECONDS - 1
    os.utime(dead, (moment, moment))
    assert compact_journals(two_old).journals == 3


def test_the_number_of_a_process_that_began_later_is_nobody_s_life(make_row, two_old):
    """This very process has the number of a writer of 2026-01-01."""
    again = two_old / f"all.0123456789ab.20260101T000000.000000Z-{this_host()}-{os.getpid()}.jsonl"
    again.write_bytes(a_row(make_row, CELLS[2]))
    os.utime(again, (LONG_AGO, LONG_AGO))
    if not Path("/proc/stat").exists():
        pytest.skip("this system does not say when a process began")
    assert compact_journals(two_old).journals == 3


def test_a_journal_of_another_machine_that_was_touched_today_is_left_alone(two_old):
    path = min(two_old.iterdir())
    recent = time.time() - 23 * 3600
    os.utime(path, (recent, recent))
    assert_untouched(two_old)
    assert compact_journals(two_old, idle_hours=22).journals == 2


def test_a_single_journal_stays_as_it_is(make_row, tmp_path):
    write_old(tmp_path / "journal", [a_row(make_row)])
    assert_untouched(tmp_path / "journal")


def test_what_only_a_newer_release_knows_stays(make_row, two_old):
    """It may be the status of a row, which is lost with its line."""
    applause = encode_line(CELLS[0], "applause", {"row": {}})
    path = min(two_old.iterdir())
    path.write_bytes(applause + path.read_bytes() + applause)
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert compact_journals(two_old).journals == 2
    (merged,) = two_old.iterdir()
    assert merged.read_bytes() == applause + a_row(make_row) + a_row(make_row, CELLS[1])


def test_a_journal_that_cannot_be_read_is_one_line(make_row, tmp_path):
    (path,) = write_old(tmp_path / "journal", [a_row(make_row)])
    path.unlink()
    path.mkdir()
    os.utime(path, (LONG_AGO, LONG_AGO))
    with pytest.raises(UserError, match=f"^journal {path} cannot be read: Is a directory$"):
        compact_journals(path.parent)


def test_a_merged_journal_that_does_not_read_back_costs_nothing(two_old, monkeypatch):
    written = compaction.write_lines

    def write_short(path: Path, lines) -> bytes:
        digest = written(path, lines)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 5)
        return digest

    monkeypatch.setattr(compaction, "write_lines", write_short)
    before = {path: path.read_bytes() for path in two_old.iterdir()}
    with pytest.raises(UserError, match="journal cannot be merged: it reads back otherwise"):
        compact_journals(two_old)
    assert {path: path.read_bytes() for path in two_old.iterdir()} == before


def test_a_single_journal_with_damaged_lines_is_written_anew(make_row, row_bits, tmp_path):
    """As `kbit verify` promises. A last line that is torn is no damage."""
    good, bad = a_row(make_row), line_of(make_row, CELLS[1], "ok", 0, "damaged")
    write_old(tmp_path / "torn", [good + bad[:-1]])
    assert_untouched(tmp_path / "torn")
    (path,) = write_old(tmp_path / "damaged", [bad + good])
    before = state_of(path.parent, row_bits)
    assert compact_journals(path.parent).journals == 1
    (merged,) = path.parent.iterdir()
    assert merged.read_bytes() == good
    assert state_of(path.parent, row_bits) == before
