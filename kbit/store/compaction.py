"""Compaction: the journals of a model become one, without losing a row.

A model that any writer may still be at is left alone. The new journal is written whole, read back and renamed before
an old one goes; killed in between, it leaves rows twice, which readers and the next compaction pass over.
"""

import hashlib
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kbit.spec.errors import UserError
from kbit.store.journal import new_journal_path, sync_folder
from kbit.store.lines import DEATH, START, decode_line
from kbit.store.writers import IDLE_HOURS, may_be_written

MERGED = "merged"
"""Stands in a compacted journal's name where another has its shard."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What became of a model's journals."""

    journals: int
    """That became one."""
    bytes_before: int
    bytes_after: int


def idle_journals(folder: Path, idle_hours: float = IDLE_HOURS) -> list[Path]:
    """The journals of a model's folder in name order, which is that of reading; none if one may still be written."""
    paths = sorted(folder.glob("*.jsonl"))
    return [] if any(may_be_written(path, idle_hours) for path in paths) else paths


def compact_journals(folder: Path, idle_hours: float = IDLE_HOURS) -> Compaction | None:
    """Merge the journals of a model; None if that would change nothing, or one may still be written.

    Every row stays, the start of every cell that left none, the deaths at every cell without a final one, and what
    only a newer release can read. Starts that a row followed, damaged lines and second copies go. UserError if they
    cannot be read or the merged one not be written; then nothing has changed.
    """
    paths = idle_journals(folder, idle_hours)
    if not are_worth_merging(paths):
        return None
    target = new_journal_path(folder, MERGED)
    temporary = target.with_name(f".{target.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    try:
        before = sum(path.stat().st_size for path in paths)
        kept = kept_lines(paths)
        digest = write_lines(temporary, (line for number, line in numbered_lines(paths) if number in kept))
        check_written(temporary, digest, len(kept))
        temporary.rename(target)
        sync_folder(folder)
    except OSError as error:
        raise UserError(f"the journals in {folder} cannot be merged: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    remove_merged(paths, folder)
    return Compaction(len(paths), before, target.stat().st_size)


def are_worth_merging(paths: Sequence[Path]) -> bool:
    """Whether there are several, or one has damaged lines, which writing it anew drops. UserError if unreadable."""
    return len(paths) > 1 or any(map(has_damaged_line, paths))


def has_damaged_line(path: Path) -> bool:
    """A last line that is torn is none."""
    try:
        with path.open("rb") as lines:
            return any(line.endswith(b"\n") and decode_line(line) is None for line in lines)
    except OSError as error:
        raise UserError(f"journal {path} cannot be read: {error.strerror or error}") from None


def remove_merged(paths: Iterable[Path], folder: Path) -> None:
    """UserError if one stays; its rows stand twice then, which readers do not mind, and the next merge takes it."""
    try:
        for path in paths:
            path.unlink()
        sync_folder(folder)
    except OSError as error:
        raise UserError(f"a journal in {folder} was merged but not removed: {error.strerror or error}") from None


def numbered_lines(paths: Iterable[Path]) -> Iterator[tuple[int, bytes]]:
    """The lines of all journals with their newline, which a last line may lack."""
    number = 0
    for path in paths:
        with path.open("rb") as lines:
            for line in lines:
                yield number, line.removesuffix(b"\n") + b"\n"
                number += 1


def kept_lines(paths: Sequence[Path]) -> set[int]:
    """Numbers of the lines that say all that the journals say (`kbit.store.journal.JournalState`)."""
    rows: dict[bytes, int] = {}
    open_starts: dict[str, int] = {}
    deaths: dict[str, dict[bytes, int]] = {}
    unknown: dict[bytes, int] = {}
    final: set[str] = set()
    for number, line in numbered_lines(paths):
        event = decode_line(line)
        if event is None:
            continue
        if event.what == START:
            if event.cell_id not in final:
                open_starts[event.cell_id] = number
            continue
        digest = hashlib.sha256(line).digest()
        if event.what == DEATH:
            if event.cell_id not in final:
                deaths.setdefault(event.cell_id, {}).setdefault(digest, number)
            continue
        if not event.is_row:
            unknown.setdefault(digest, number)  # of a newer release: it may be a row
            continue
        open_starts.pop(event.cell_id, None)
        if event.is_final:
            final.add(event.cell_id)
            deaths.pop(event.cell_id, None)
            rows.setdefault(digest, number)  # the first of a cell counts
        else:
            rows[digest] = number  # of failed ones the last
    noted = {number for notes in deaths.values() for number in notes.values()}
    return noted | {*rows.values(), *open_starts.values(), *unknown.values()}


def write_lines(path: Path, lines: Iterable[bytes]) -> bytes:
    """Write and flush to disk; returns the digest of the content."""
    content = hashlib.sha256()
    with path.open("xb") as file:
        for line in lines:
            file.write(line)
            content.update(line)
        file.flush()
        os.fsync(file.fileno())
    return content.digest()


def check_written(path: Path, digest: bytes, count: int) -> None:
    """OSError unless the file reads back as it was written, every line intact."""
    content, intact = hashlib.sha256(), 0
    for _, line in numbered_lines([path]):
        content.update(line)
        intact += decode_line(line) is not None
    if content.digest() != digest or intact != count:
        raise OSError("it reads back otherwise than it was written")
