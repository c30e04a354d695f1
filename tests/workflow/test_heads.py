"""Heads that die, and heads that meet: `kbit run` on one results folder."""

import os
import random
import signal
import subprocess
import sys
import time

KILLS = 5


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
    bits, data_types = [3, 4, 5, 6, 7, 8], ["int", "dynamic", "quantile"]
    workspace.write_study(bits=bits, data_types=data_types, tasks=["ho_piqa", "ho_perplexity"], item_limit=100)
    workspace.run()
    undisturbed = workspace.table("scores")
    forget_results(workspace)
    kills = 0
    while kills < KILLS:
        head = start(workspace)
        deadline = time.monotonic() + 200
        rows = sum(workspace.evaluations().values())
        while sum(workspace.evaluations().values()) == rows and head.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(random.uniform(0, 0.1))
        if head.poll() is not None:
            break
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()
        kills += 1
    # A fast machine may be through before the fifth.
    assert kills >= 3
    workspace.run()
    assert workspace.table("scores").equals(undisturbed)
    assert set(workspace.evaluations().values()) == {1}


def test_a_second_head_is_refused_with_one_line(workspace):
    forget_results(workspace)
    logs = workspace.root / "results/studies/small/logs"
    before = set(logs.glob("*.log"))
    head = start(workspace)
    try:
        lock = workspace.root / "results/.kbit-run.lock"
        deadline = time.monotonic() + 120
        while not lock.exists() or not lock.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (line,) = workspace.run(expect=2).stderr.splitlines()
        assert "another `kbit run` holds results/" in line
        assert f"process {head.pid}" in line
        # Killed alone, as by the number in that line, it leaves a Snakemake that goes on; both are stopped meanwhile.
        while not any(log.stat().st_size for log in set(logs.glob("*.log")) - before):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(head.pid, signal.SIGSTOP)
        head.kill()
        head.wait()
        assert "another `kbit run` holds results/" in workspace.run(expect=2).stderr
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()
