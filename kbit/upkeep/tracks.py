"""What the journals of a model say about progress: outcomes, cells being evaluated, and at what pace. Reads no row."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kbit.store.lines import START, Event, decode_line
from kbit.store.writers import is_running, shard_of, writer_of

QUIET_SECONDS = 3600
"""A journal of another machine, of which no queue knows, counts as alive for so long after its last line."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell's latest failed row."""

    cell_id: str
    task: str
    spec: str
    error: str
    started_at: str
    host: str


@dataclass(frozen=True, slots=True)
class Writer:
    """A journal that is being written."""

    shard: str
    """slice.key"""
    rows: int
    since: datetime
    rate: float
    """Rows a second from the journal's beginning to its last line; 0 without a row."""


@dataclass
class Track:
    """Of one model."""

    finished: dict[str, str] = field(default_factory=dict)
    """Cell id -> final status."""
    failed: dict[str, Event] = field(default_factory=dict)
    """Latest failed row of cells without a final one."""
    opened: set[str] = field(default_factory=set)
    """Cells whose evaluation left no row of any kind, as yet."""
    running: set[str] = field(default_factory=set)
    """Those of them that a living writer has begun."""
    writers: list[Writer] = field(default_factory=list)

    def failure(self, cell_id: str) -> Failure:
        """The failed row of a cell, parsed."""
        row = json.loads(self.failed[cell_id].text)["row"]
        return Failure(cell_id, *(str(row.get(name) or "") for name in ("task", "spec", "error", "started_at", "host")))


def read_track(folder: Path, running_shards: frozenset[str] | None) -> Track:
    """Read the journals of a model. `running_shards`: what Slurm runs (slice.key); None where it was not asked."""
    return read_tracks(sorted(folder.glob("*.jsonl")), running_shards)


def read_tracks(paths: Sequence[Path], running_shards: frozenset[str] | None = None) -> Track:
    """Read journals of a model, in the order of their names."""
    track = Track()
    # An earlier attempt at the same shard has died before this one could begin.
    latest = {shard_of(path): path for path in paths}
    for path in paths:
        try:
            modified = path.stat().st_mtime
            rows, started = read_journal(path, track)
        except FileNotFoundError:
            continue  # compacted since it was listed
        runs = None if running_shards is None else shard_of(path) in running_shards and latest[shard_of(path)] == path
        if not is_alive(path, modified, runs):
            continue
        track.running |= started
        writer = writer_of(path)
        if writer is not None and writer.started is not None:
            seconds = modified - writer.started.timestamp()
            rate = rows / seconds if rows and seconds > 0 else 0.0
            track.writers.append(Writer(shard_of(path), rows, writer.started, rate))
    track.running -= track.finished.keys()
    track.opened |= track.running
    return track


def read_journal(path: Path, track: Track) -> tuple[int, set[str]]:
    """Take in one journal; returns its number of rows, and the cells begun in it that have none."""
    rows, started = 0, set()
    with path.open("rb") as lines:
        for line in lines:
            event = decode_line(line)
            if event is None:
                continue
            if event.what == START:
                started.add(event.cell_id)
                if event.cell_id not in track.finished:
                    track.opened.add(event.cell_id)
            if not event.is_row:
                continue
            rows += 1
            started.discard(event.cell_id)
            track.opened.discard(event.cell_id)
            if event.is_final:
                track.finished.setdefault(event.cell_id, event.what)
                track.failed.pop(event.cell_id, None)
            elif event.cell_id not in track.finished:
                track.failed[event.cell_id] = event
    return rows, started


def is_alive(path: Path, modified: float, runs_in_slurm: bool | None) -> bool:
    """Whether somebody writes a journal now, as far as this machine can tell; None where Slurm was not asked."""
    writer = writer_of(path)
    if writer is None:
        return False
    if writer.is_here:
        return is_running(writer.pid, writer.started)
    return time.time() - modified < QUIET_SECONDS if runs_in_slurm is None else runs_in_slurm
