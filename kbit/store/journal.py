"""The journal: the record of every evaluated cell, of which parts are views.

One file per writer, never appended to by another; one checksummed line per event (kbit/store/lines.py): the start
of a cell, then its row. Each line is on disk before the next event begins, so whatever kills a job loses at most
the cell in flight. Readers skip lines whose checksum is wrong: a damaged line costs its row and no other.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kbit.spec.errors import UserError
from kbit.spec.rows import ROW_VERSION
from kbit.store.disk import cannot_write
from kbit.store.lines import DEATH, START, Event, decode_line, encode_line
from kbit.store.rows import Row, decode_row, encode_row
from kbit.store.writers import this_host

# macOS has no fdatasync.
sync_data = getattr(os, "fdatasync", os.fsync)


def new_journal_path(folder: Path, shard: str) -> Path:
    """A name no other writer takes: the shard (slice.key), the UTC time in microseconds, host and process."""
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return folder / f"{shard}.{time}-{this_host()}-{os.getpid()}.jsonl"


class JournalWriter:
    """Writes one new journal file; an event is on disk when its method returns. UserError names one that cannot be."""

    def __init__(self, path: Path) -> None:
        """FileExistsError if another writer has the name."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
            sync_folder(path.parent)
        except FileExistsError:
            raise
        except OSError as error:
            raise cannot_write("journal", path, error) from None

    def start(self, cell_id: str, details: Mapping[str, object]) -> None:
        """Note that a cell is about to be evaluated; `details` (JSON) say where and by what."""
        self._write(encode_line(cell_id, START, dict(details)))

    def death(self, cell_id: str, note: Mapping[str, object]) -> None:
        """Note what ended the worker at a cell; `note` (JSON) holds died_at, the time by which readers tell notes."""
        self._write(encode_line(cell_id, DEATH, dict(note)))

    def row(self, row: Mapping[str, object]) -> None:
        """Record the row of a cell. ValueError if it does not fit the row schema."""
        content = {"row_version": ROW_VERSION, "row": encode_row(row)}
        self._write(encode_line(row["cell_id"], row["status"], content))

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> "JournalWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        try:
            while line:
                line = line[os.write(self._file, line) :]
            sync_data(self._file)
        except OSError as error:
            raise cannot_write("journal", self.path, error) from None


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass
class JournalState:
    """What journals say about cells."""

    rows: dict[str, Row] = field(default_factory=dict)
    """Final rows by cell id; of several, the one of the first journal in name order."""
    failed: dict[str, Row] = field(default_factory=dict)
    """Latest failed rows of cells without a final row."""
    open_starts: dict[str, dict] = field(default_factory=dict)
    """Details of the latest start of cells whose evaluation left no row of any kind."""
    deaths: dict[str, dict[str, dict]] = field(default_factory=dict)
    """Notes of what ended workers at cells without a final row, by cell id and time."""
    bad_lines: dict[Path, int] = field(default_factory=dict)
    """Torn or corrupted lines that were skipped, by file."""

    def add(self, event: Event, path: Path) -> None:
        cell_id = event.cell_id
        if event.what == START:
            if cell_id not in self.rows:
                self.open_starts[cell_id] = event.content
            return
        if event.what == DEATH and cell_id not in self.rows:
            note = event.content
            self.deaths.setdefault(cell_id, {})[note["died_at"]] = note
        if not event.is_row:
            return
        self.open_starts.pop(cell_id, None)
        if cell_id in self.rows:
            return
        row = decode_row(event.content["row"], f"journal {path}")
        if event.is_final:
            self.rows[cell_id] = row
            self.failed.pop(cell_id, None)
            self.deaths.pop(cell_id, None)
        else:
            self.failed[cell_id] = row


def read_journals(folder: Path, wanted: Collection[str] | None = None) -> JournalState:
    """Everything the journals in a model's folder say about the wanted cells (all if None).

    UserError names a journal that cannot be read, or whose rows have columns that only a newer release knows.
    """
    state = JournalState()
    for path in sorted(folder.glob("*.jsonl")):
        read_into(state, path, wanted)
    return state


def read_journal(path: Path) -> JournalState:
    """What one journal says; nothing if it was never created."""
    state = JournalState()
    if path.exists():
        read_into(state, path, None)
    return state


def read_into(state: JournalState, path: Path, wanted: Collection[str] | None) -> None:
    try:
        with path.open("rb") as lines:
            for line in lines:
                event = decode_line(line)
                if event is None:
                    state.bad_lines[path] = state.bad_lines.get(path, 0) + 1
                elif wanted is None or event.cell_id in wanted:
                    state.add(event, path)
    except OSError as error:
        raise UserError(f"journal {path} cannot be read: {error.strerror}") from None


class JournalScan:
    """Which cells of a model have a final row; asked again, it reads only what was written since."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._finished: set[str] = set()
        self._offsets: dict[Path, int] = {}

    def finished_cells(self) -> set[str]:
        """Ids of the cells with a final row in any journal of the folder."""
        for path in self.folder.glob("*.jsonl"):
            self._read_new(path)
        return self._finished

    def _read_new(self, path: Path) -> None:
        offset = self._offsets.get(path, 0)
        try:
            lines = path.open("rb")
        except FileNotFoundError:
            return  # compacted since it was listed: what it said stands in another
        with lines:
            lines.seek(offset)
            for line in lines:
                # Without its newline a line is still being written: it is read again next time.
                if line.endswith(b"\n"):
                    offset += len(line)
                if (event := decode_line(line)) and event.is_final:
                    self._finished.add(event.cell_id)
        self._offsets[path] = offset
