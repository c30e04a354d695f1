"""Who writes a file, and whether that process may still be at it: host and process stand in the file's name."""

import os
import re
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

IDLE_HOURS = 24.0
"""A file of another machine that nobody touched for so long has no writer. No cell should take longer; where jobs may
run for more hours than this, `kbit prune --idle-hours` says so."""
SETTLE_SECONDS = 60
"""A worker outlives its killed parent, whose process the name states, by moments."""
START_SLACK_SECONDS = 2.0
"""The kernel's start times are whole ticks since a boot time in whole seconds."""
ENDED = float("inf")

JOURNAL_NAME = re.compile(r"(?P<shard>.+)\.(?P<time>\d{8}T\d{6}\.\d{6})Z-(?P<host>[A-Za-z0-9_]+)-(?P<pid>\d+)\.jsonl")
TEMPORARY_NAME = re.compile(r"\.(?P<name>.+\.(parquet|jsonl))\.(?P<host>.+)-(?P<pid>\d+)\.tmp")


@dataclass(frozen=True, slots=True)
class Writer:
    """The process that a file's name states."""

    host: str
    """As journals write it: everything but letters and digits is an underscore."""
    pid: int
    started: datetime | None
    """When it began with the file, for a journal."""

    @property
    def is_here(self) -> bool:
        return self.host == this_host()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_host() -> str:
    """The name of this machine as journals write it."""
    return plain_host(socket.gethostname())


def plain_host(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name)


def writer_of(path: Path) -> Writer | None:
    """The writer of a journal or of a part's temporary; None for any other name."""
    if found := JOURNAL_NAME.fullmatch(path.name):
        started = datetime.strptime(found["time"], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
        return Writer(found["host"], int(found["pid"]), started)
    if found := TEMPORARY_NAME.fullmatch(path.name):
        return Writer(plain_host(found["host"]), int(found["pid"]), None)
    return None


def shard_of(journal: Path) -> str:
    """The shard (slice.key) in a journal's name; the stem of a name of another form."""
    found = JOURNAL_NAME.fullmatch(journal.name)
    return found["shard"] if found else journal.stem


def may_be_written(path: Path, idle_hours: float = IDLE_HOURS) -> bool:
    """Whether somebody may still write to a file. When in doubt, yes.

    On this machine the process answers; of another machine, how long the file has not been touched.
    """
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    writer = writer_of(path)
    if writer is not None and writer.is_here:
        return age < SETTLE_SECONDS or is_running(writer.pid, writer.started)
    return age < idle_hours * 3600


def is_running(pid: int, since: datetime | None = None) -> bool:
    """Whether a process of this machine runs that was there at `since`; a later one only got the same number."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass  # there, and somebody else's
    except (ProcessLookupError, OverflowError):
        return False
    began = process_start(pid)
    return began is None or (began != ENDED and (since is None or began <= since.timestamp() + START_SLACK_SECONDS))


def process_start(pid: int) -> float | None:
    """Unix time at which a process began, ENDED for one that has; None where there is no /proc to say so."""
    try:
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        # The name of the program, in parentheses, may hold blanks: fields count from behind it, the third first.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, StopIteration):
        return None
    state, ticks = fields[0], fields[19]
    if state in "ZX":
        return ENDED  # killed, and its parent has not asked for its exit code yet
    return int(boot.split()[1]) + int(ticks) / os.sysconf("SC_CLK_TCK")
