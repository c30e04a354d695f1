"""The journal keeps what it was given, whatever happens to its files."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from row_counts import row_counts

from kbit.spec.errors import UserError
from kbit.store import rows as store_rows
from kbit.store.journal import JournalScan, JournalState, JournalWriter, new_journal_path, read_journal, read_journals
from kbit.store.lines import decode_line, encode_line

CELLS = [f"{number:032x}" for number in range(12)]


def write_journal(path: Path, rows: list[dict]) -> list[bytes]:
    """A journal with start and row of each; its lines."""
    with JournalWriter(path) as journal:
        for row in rows:
            journal.start(row["cell_id"], {"device": "cpu"})
            journal.row(row)
    return path.read_bytes().splitlines(keepends=True)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_rows_come_back_bit_for_bit(data, row_strategy, row_bits, tmp_path):
    row = data.draw(row_strategy(CELLS[0]))
    path = new_journal_path(tmp_path, "all.0123456789ab")
    write_journal(path, [row])
    state = read_journal(path)
    back = (state.failed if row["status"] == "failed" else state.rows)[CELLS[0]]
    assert row_bits(back) == row_bits(row)
    assert not state.bad_lines
    assert not state.open_starts


def test_a_corrupted_line_costs_its_row_and_no_other(make_row, tmp_path, row_bits):
    rows = [make_row(cell) for cell in CELLS]
    path = tmp_path / "all.0123456789ab.x.jsonl"
    whole = b"".join(write_journal(path, rows))
    generator = random.Random(7)
    for _ in range(300):
        position, mask = generator.randrange(len(whole)), generator.randrange(1, 256)
        path.write_bytes(whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :])
        state = read_journal(path)
        assert len(rows) - len(state.rows) <= 1
        assert sum(state.bad_lines.values()) >= 1
        assert all(
            row_bits(state.rows[row["cell_id"]]) == row_bits(row) for row in rows if row["cell_id"] in state.rows
        )


def test_a_torn_line_costs_its_row_and_no_other(make_row, tmp_path):
    path = tmp_path / "all.0123456789ab.x.jsonl"
    lines = write_journal(path, [make_row(cell) for cell in CELLS[:3]])
    for cut in range(1, len(lines[-1]) - 1, 7):
        path.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
        state = read_journals(tmp_path)
        assert set(state.rows) == set(CELLS[:2])
        assert set(state.open_starts) == {CELLS[2]}
        assert state.bad_lines == {path: 1}


def test_writers_never_share_a_file(make_row, tmp_path):
    path = tmp_path / "all.0123456789ab.x.jsonl"
    write_journal(path, [make_row(CELLS[0])])
    with pytest.raises(FileExistsError):
        JournalWriter(path)
    names = {new_journal_path(tmp_path, "all.0123456789ab") for _ in range(50)}
    assert len(names) == 50


def test_failed_rows_are_kept_apart_until_a_final_row_follows(make_row, tmp_path):
    write_journal(
        tmp_path / "a.jsonl", [make_row(CELLS[0], "failed", error="I/O"), make_row(CELLS[1], "failed", error="I/O")]
    )
    state = read_journals(tmp_path)
    assert (set(state.rows), set(state.failed)) == (set(), {CELLS[0], CELLS[1]})
    write_journal(tmp_path / "b.jsonl", [make_row(CELLS[0], "collapsed")])
    state = read_journals(tmp_path)
    assert (set(state.rows), set(state.failed)) == ({CELLS[0]}, {CELLS[1]})
    assert row_counts(tmp_path) == {CELLS[0]: 2, CELLS[1]: 1}


def test_only_wanted_cells_are_read(make_row, tmp_path):
    write_journal(tmp_path / "a.jsonl", [make_row(cell) for cell in CELLS])
    assert set(read_journals(tmp_path, {CELLS[3]}).rows) == {CELLS[3]}


def test_a_column_of_a_newer_release_is_refused_by_name(make_row, tmp_path):
    content = {"row_version": 99, "row": {**store_rows.encode_row(make_row(CELLS[0])), "karma": 1}}
    (tmp_path / "a.jsonl").write_bytes(encode_line(CELLS[0], "ok", content))
    with pytest.raises(UserError, match=r"journal .*a\.jsonl has columns .* karma"):
        read_journals(tmp_path)


def test_a_column_an_older_release_lacked_is_null(make_row, tmp_path):
    row = store_rows.encode_row(make_row(CELLS[0]))
    del row["quantize_seconds"]
    (tmp_path / "a.jsonl").write_bytes(encode_line(CELLS[0], "ok", {"row_version": 0, "row": row}))
    assert read_journals(tmp_path).rows[CELLS[0]]["quantize_seconds"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"karma": 1}, "karma"),
        ({"bits": "4"}, "bits"),
        ({"bits": None}, "bits"),
        ({"body_bits": 2**63}, "body_bits"),
        ({"seconds": 1}, "seconds"),
        ({"status": "fine"}, "fine"),
    ],
)
def test_a_row_outside_the_schema_never_reaches_the_disk(change, message, make_row, tmp_path):
    with JournalWriter(tmp_path / "a.jsonl") as journal, pytest.raises(ValueError, match=message):
        journal.row({**make_row(CELLS[0]), **change})
    assert (tmp_path / "a.jsonl").read_bytes() == b""


def test_a_scan_reads_what_was_appended_since(make_row, tmp_path):
    scan = JournalScan(tmp_path / "journal")
    assert scan.finished_cells() == set()
    path = tmp_path / "journal" / "a.jsonl"
    lines = write_journal(path, [make_row(CELLS[0]), make_row(CELLS[1], "failed", error="I/O"), make_row(CELLS[2])])
    path.write_bytes(b"".join(lines[:4]) + lines[5][:40])  # as if the last row were being written
    assert scan.finished_cells() == {CELLS[0]}
    path.write_bytes(b"".join(lines))
    assert scan.finished_cells() == {CELLS[0], CELLS[2]}


def test_an_event_survives_the_death_of_its_writer(tmp_path):
    """The writer kills itself right after each call returns, without flushing or closing anything."""
    program = (
        "import os, sys, signal; from pathlib import Path; from kbit.store.journal import JournalWriter\n"
        "JournalWriter(Path(sys.argv[1])).start('c' * 32, {'device': 'cpu'}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "a.jsonl"
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert read_journal(path).open_starts == {"c" * 32: {"device": "cpu"}}


def test_many_writers_at_once_lose_nothing(make_row, tmp_path):
    rows = [make_row(cell) for cell in CELLS]
    writers = [JournalWriter(new_journal_path(tmp_path, "all.0123456789ab")) for _ in range(4)]
    for row in rows:
        for writer in writers:
            writer.row(row)
    for writer in writers:
        writer.close()
    assert row_counts(tmp_path) == dict.fromkeys(CELLS, 4)


def test_importing_the_journal_brings_no_arrays():
    """The plan imports it at every parse of the Snakefile, on every node."""
    program = "import sys, kbit.store.journal; print({'numpy', 'polars', 'pyarrow', 'torch'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "set()\n"
    )


def test_line_checksum_covers_cell_status_and_content():
    line = encode_line(CELLS[0], "ok", {"row": {}})
    assert decode_line(line).what == "ok"
    assert decode_line(line.replace(b" ok ", b" no ")) is None
    assert decode_line(b"") is None
    assert decode_line(b"no journal at all\n") is None


def test_deaths_are_known_once_each_until_a_final_row_follows(make_row, tmp_path):
    first, second = ({"died_at": f"2026-01-0{day}", "memory_limit_bytes": day} for day in (1, 2))
    for name in ("a", "b"):  # a merge that was cut off leaves lines twice
        with JournalWriter(tmp_path / f"{name}.jsonl") as journal:
            journal.death(CELLS[0], first)
            journal.death(CELLS[0], second)
            journal.death(CELLS[1], first)
    state = read_journals(tmp_path)
    assert list(state.deaths[CELLS[0]].values()) == [first, second]
    assert not row_counts(tmp_path)
    with JournalWriter(tmp_path / "c.jsonl") as journal:
        journal.row(make_row(CELLS[0], "failed", error="I/O"))
        journal.row(make_row(CELLS[1]))
    assert set(read_journals(tmp_path).deaths) == {CELLS[0]}


def test_what_only_a_newer_release_knows_is_no_row(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(encode_line(CELLS[0], "applause", {"hands": 2}))
    state = read_journals(tmp_path)
    assert state == JournalState()
