"""Why a file could not be written, in one line that names the disk where that is what is full."""

import errno
import os
import shutil
from pathlib import Path

from kbit.spec.errors import UserError

FULL = {errno.ENOSPC: "no space left", errno.EDQUOT: "the quota is used up"}


def cannot_write(what: str, path: Path, error: OSError) -> UserError:
    """The error to raise; `what` is the file's kind, such as part."""
    if error.errno not in FULL:
        return UserError(f"{what} {path} cannot be written: {error.strerror or error}")
    disk = mount_of(path)
    free = shutil.disk_usage(disk).free / 1e6
    return UserError(
        f"{what} {path} cannot be written: {FULL[error.errno]} on the disk at {disk} ({free:,.1f} MB free); make room "
        "and run again: what is finished stays in the journal"
    )


def mount_of(path: Path) -> Path:
    """Where the disk of a file, which need not exist, is mounted."""
    folder = Path(os.path.realpath(path))
    while not folder.is_mount():
        folder = folder.parent
    return folder
