"""Digests: sha256 of canonical content, the only source of identity. Never Python's or polars' hash."""

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path


def digest_text(text: str) -> str:
    """sha256 of a text, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_json(value: object) -> str:
    """sha256 of a JSON value in canonical form (sorted keys, no spaces), 64 hex digits."""
    return digest_text(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True))


def digest_files(files: Iterable[Path]) -> str:
    """sha256 over the names and contents of files, in the given order, 64 hex digits."""
    return digest_json([[file.name, digest_file(file)] for file in files])


def digest_file(file: Path) -> str:
    """sha256 of a file's content, 64 hex digits; computed once per process for an unchanged file."""
    status = file.stat()
    return _digest_content(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest_content(file: Path, _size: int, _mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
