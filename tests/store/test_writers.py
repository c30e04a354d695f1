"""Who writes a file, by its name, and whether that process lives."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kbit.store.journal import new_journal_path
from kbit.store.writers import Writer, is_running, may_be_written, shard_of, this_host, writer_of


def test_a_journal_states_its_writer():
    path = new_journal_path(Path(), "int-k3-64.0123456789ab")
    writer = writer_of(path)
    assert (writer.pid, writer.is_here) == (os.getpid(), True)
    assert abs(writer.started - datetime.now(UTC)) < timedelta(seconds=10)
    assert shard_of(path) == "int-k3-64.0123456789ab"


def test_so_does_the_temporary_of_a_part_whatever_the_host_is_called():
    path = Path(".all.0123456789ab.parquet.node-7.example.org-123.tmp")
    assert writer_of(path) == Writer("node_7_example_org", 123, None)


@pytest.mark.parametrize("name", ["a.jsonl", ".models.json.k3jd8s_f.tmp", "all.0123456789ab.parquet"])
def test_other_names_state_none(name):
    assert writer_of(Path(name)) is None


def test_a_process_runs_from_its_start_to_its_end_and_not_as_what_is_left_of_it():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    now = datetime.now(UTC)
    assert is_running(process.pid)
    assert is_running(process.pid, now)
    process.kill()
    deadline = time.monotonic() + 20
    # Nobody has asked for its exit code: its number is still taken.
    while is_running(process.pid) and Path("/proc/stat").exists():
        assert time.monotonic() < deadline
    process.wait()
    process.stdin.close()
    assert not is_running(process.pid)


def test_a_process_that_began_later_is_another():
    if not Path("/proc/stat").exists():
        pytest.skip("this system does not say when a process began")
    assert not is_running(os.getpid(), datetime.now(UTC) - timedelta(days=1))


def test_a_file_that_is_gone_is_not_written(tmp_path):
    assert not may_be_written(tmp_path / f"all.0123456789ab.20260101T000000.000000Z-{this_host()}-1.jsonl")
