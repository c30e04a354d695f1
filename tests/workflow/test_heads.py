"""Heads that die, and heads that meet: `kbit run` on one results folder."""

import os
import random
import signal
import subprocess
import sys
import time

PASSING = ("host", "git_commit", "seconds", "quantize_seconds", "peak_memory_bytes", "started_at")
"""Columns of a row that may differ between two evaluations of the same cell."""


def start(workspace):
    command = [sys.executable, "-m", "kbit.cli", "run", "config/small.yaml", "--profile", "profiles/local"]
    return subprocess.Popen(
        command,
        cwd=workspace.root,
        env=workspace.environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def forget_results(workspace):
    """As before the first run, but with the requests built."""
    for path in [*workspace.parts(), *workspace.root.glob("results/journal/*/*.jsonl")]:
        path.unlink()


def test_a_study_whose_head_and_jobs_are_killed_ends_like_one_left_alone(workspace):
    undisturbed = workspace.table("scores")
    forget_results(workspace)
    for _ in range(2):
        head = start(workspace)
        deadline = time.monotonic() + 200
        rows = sum(workspace.evaluations().values())
        while sum(workspace.evaluations().values()) == rows and head.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(random.uniform(0, 0.2))
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()
    workspace.run()
    assert workspace.table("scores").equals(undisturbed)
    assert set(workspace.evaluations().values()) == {1}


def test_a_second_head_is_refused_with_one_line(workspace):
    forget_results(workspace)
    head = start(workspace)
    try:
        lock = workspace.root / "results/.kbit-run.lock"
        deadline = time.monotonic() + 60
        while not lock.exists() or not lock.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (line,) = workspace.run(expect=2).stderr.splitlines()
        assert "another `kbit run` holds results/" in line
        assert f"process {head.pid}" in line
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()
