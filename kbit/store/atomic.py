"""Small JSON files, written whole or not at all."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from kbit.spec.errors import UserError


def read_planned(path: Path) -> dict:
    """What planning wrote for a job. UserError if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; plan the study again") from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `path`, flush it to disk and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files private; results are shared like any other file of the user.
        Path(temporary).chmod(0o666 & ~current_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def to_bytes(value: object) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n").encode()


def write_json_if_absent(path: Path, value: Callable[[], object]) -> None:
    """Write a file whose name is its content: once, and never again."""
    if not path.exists():
        write_bytes(path, to_bytes(value()))


def write_json_if_changed(path: Path, value: object) -> None:
    """Write a file that may change, leaving its time alone when it does not."""
    content = to_bytes(value)
    try:
        unchanged = path.read_bytes() == content
    except OSError:
        unchanged = False
    if not unchanged:
        write_bytes(path, content)
