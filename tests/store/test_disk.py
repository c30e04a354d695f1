"""A disk that is full is named; on a real one it is tried in tests/slurm/test_disk_full.py."""

import errno
import os
from pathlib import Path

import pytest

from kbit.spec.errors import UserError
from kbit.store import journal, parts
from kbit.store.disk import mount_of
from kbit.store.journal import JournalWriter
from kbit.store.parts import write_part

CELL = "0" * 32


def failing(number: int):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, r"no space left on the disk at / \([\d,.]+ MB free\); make room and run again: .*"),
        (errno.EDQUOT, r"the quota is used up on the disk at / \(.*"),
        (errno.EFBIG, "File too large"),
    ],
)
def test_what_cannot_be_written_says_where_and_why(number, reason, make_row, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "is_mount", lambda path: path == Path("/"))
    with JournalWriter(tmp_path / "a.jsonl") as writer:
        monkeypatch.setattr(journal.os, "write", failing(number))
        with pytest.raises(UserError, match=f"^journal {tmp_path}/a.jsonl cannot be written: {reason}$"):
            writer.start(CELL, {})
    monkeypatch.setattr(parts, "write_table", failing(number))
    with pytest.raises(UserError, match=f"^part {tmp_path}/a.parquet cannot be written: {reason}$"):
        write_part([make_row(CELL)], tmp_path / "a.parquet", {})


def test_a_journal_that_cannot_be_begun_says_so(tmp_path):
    (tmp_path / "model").write_text("not a folder")
    with pytest.raises(UserError, match=r"^journal .*/model/b/a.jsonl cannot be written: .*"):
        JournalWriter(tmp_path / "model/b/a.jsonl")


def test_the_mount_of_a_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    monkeypatch.chdir(tmp_path)
    assert mount_of(Path("results/parts/a.parquet")) == tmp_path
