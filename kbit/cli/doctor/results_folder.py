"""The results folder: writable, on what file system, with locks that work, and room left."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from kbit.store.paths import RESULTS
from kbit.upkeep.finding import Finding

SHARED = ("nfs", "nfs4", "lustre", "beegfs", "gpfs", "cephfs", "ceph", "fuse.sshfs", "smb3", "cifs", "9p")
LITTLE_BYTES, NO_BYTES = 10e9, 1e9
LITTLE_FILES = 10_000


def check(_named: Sequence[Path]) -> Iterator[Finding]:
    folder = RESULTS if RESULTS.exists() else Path()
    where = f"{RESULTS}/" if RESULTS.exists() else f"the current folder, where {RESULTS}/ will be made,"
    if fault := write_fault(folder):
        yield Finding("problem", f"{where} is not usable: {fault}", "see to its rights, its locks and its disk")
    else:
        yield Finding(
            "ok", f"{where} is writable, files can be locked; file system: {file_system(folder) or 'unknown'}"
        )
    if file_system(folder) in SHARED:
        yield Finding(
            "note", "that is a shared file system: files show late on other nodes; the profile's latency-wait waits"
        )
    yield from check_room(folder)


def write_fault(folder: Path) -> str:
    """What goes wrong when a file is written, flushed, locked and renamed; nothing if all is well."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".kbit-doctor-") as file:
            file.write(b"a line")
            file.flush()
            os.fsync(file.fileno())
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def file_system(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Type of the file system, as the kernel names it; empty where it does not."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    path = folder.resolve()
    # Of several mounts that hold the folder the deepest counts, and of several at one place the last.
    held = [(len(line[1]), number, line[2]) for number, line in enumerate(lines) if path.is_relative_to(line[1])]
    return max(held)[2] if held else ""


def check_room(folder: Path) -> Iterator[Finding]:
    usage, files = shutil.disk_usage(folder), os.statvfs(folder)
    room = f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.0f} GB"
    if usage.free < NO_BYTES:
        yield Finding("problem", room, "make room; `kbit prune` lists what no study needs")
    elif usage.free < LITTLE_BYTES:
        yield Finding("note", f"{room}; `kbit prune` lists what no study needs")
    else:
        yield Finding("ok", room)
    # Some file systems have no fixed number of files, and say 0 of 0.
    if files.f_files and files.f_favail < LITTLE_FILES:
        yield Finding("note", f"room for {files.f_favail:,} more files; `kbit prune` merges journals")
