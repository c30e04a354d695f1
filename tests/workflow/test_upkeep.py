"""Looking after what real runs left: nothing is damaged, nothing is lost, nothing is evaluated twice."""

import json
import os
import signal
import subprocess
import sys
import time


def asked(workspace, *arguments: str, expect: int = 0) -> dict:
    return json.loads(workspace.kbit(*arguments, "--json", expect=expect).stdout)


def make_old(workspace) -> None:
    """As if their writers, of this machine, had ended a while ago."""
    past = time.time() - 1000
    for journal in workspace.root.glob("results/journal/*/*.jsonl"):
        os.utime(journal, (past, past))


def test_a_finished_study_is_whole_and_pruning_it_costs_no_evaluation(workspace):
    workspace.write_study(bits=[3, 4, 5])
    workspace.run()  # takes the old cells over: a second journal for each model
    scores, evaluations = workspace.table("scores"), workspace.evaluations()
    assert asked(workspace, "verify")["problems"] == 0
    total = asked(workspace, "status", "config/small.yaml")["total"]
    assert (total["cells"], total["done"], total["statuses"]) == (8, 8, {"ok": 8})

    make_old(workspace)
    done = asked(workspace, "prune", "--yes")["done"]
    # Part, shard file, log and benchmark of both models; their two journals have become one each.
    assert (done["dropped"], done["merged"], len(done["models_merged"])) == (8, 4, 2)
    for part in workspace.parts():
        part.unlink()
    workspace.run()
    assert workspace.table("scores").equals(scores)
    assert workspace.evaluations() == evaluations
    assert asked(workspace, "verify")["problems"] == 0


def test_while_a_run_is_at_work_its_status_can_be_read_and_prune_keeps_out(workspace):
    workspace.write_study(bits=[3, 4, 5, 6, 7, 8], data_types=["int", "dynamic", "quantile"], item_limit=300)
    command = [sys.executable, "-m", "kbit.cli", "run", "config/small.yaml", "--profile", "profiles/local"]
    head = subprocess.Popen(
        command, cwd=workspace.root, env=workspace.environment(), start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            status = asked(workspace, "status", "config/small.yaml")
            if status["total"]["running"]:
                break
            assert time.monotonic() < deadline
            assert head.poll() is None
            time.sleep(0.5)
        assert status["head"]["alive"]
        assert f"process {head.pid} on " in status["head"]["holder"]
        assert status["total"]["to_do"] == 0
        assert sum(status["total"][name] for name in ("done", "running", "queued", "failed")) == 38
        (line,) = workspace.kbit("prune", "--yes", expect=2).stderr.splitlines()
        assert "another `kbit run` holds results/" in line
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()
    # Its jobs die with it, if not at the same instant.
    deadline = time.monotonic() + 30
    while (status := asked(workspace, "status", "config/small.yaml"))["total"]["queued"]:
        assert time.monotonic() < deadline
    assert not status["head"]["alive"]
    assert status["total"]["running"] == 0
    notes = [finding["what"] for finding in asked(workspace, "doctor", expect=0)["findings"]]
    assert any(f"process {head.pid} on " in note and "left by a head that died" in note for note in notes)
