"""A head that is killed leaves jobs behind: they are told, and the next head waits for them or cancels them.

Two studies of the same seven cells lose their heads at the same time; one waits, the other cancels.
"""

import json
import os
import re
import signal
import time

import pytest
from clone import Clone
from lab_files import NODES

N_CELLS = 7
SECONDS = 300


class Lost:
    """A study whose head was killed while its job was at work, what kbit said of that, and the head that came next."""

    def __init__(self, local_run: Clone, root, node: str) -> None:
        local_run.copy_to(root)
        self.clone = Clone(root)
        self.clone.set_place()
        self.clone.write_study(models=["a"], bits=[3, 4, 5, 6, 7, 8])
        self.clone.forget_results()
        self.clone.disturb("import time; time.sleep(4)")
        self.pinned = ["--set-resources", f"evaluate:slurm_extra='-w {node}'"]
        self.head = self.clone.start_on_cluster(*self.pinned)

    def lose_head(self) -> None:
        deadline = time.monotonic() + SECONDS
        while self.clone.finished_cells() < 1:
            assert time.monotonic() < deadline
            assert self.head.poll() is None, self.said()
            time.sleep(0.2)
        self.end()
        (self.job,) = self.clone.submitted()
        log = max(self.clone.root.glob("results/studies/small/logs/*.log"))
        self.run_id = re.search(r"SLURM run ID: (\S+)", log.read_text())[1]

    def asked(self, *arguments: str, expect: int = 0) -> dict:
        return json.loads(self.clone.kbit(*arguments, "--json", expect=expect).stdout)

    def begin_again(self, orphans: str) -> None:
        self.head = self.clone.start_on_cluster("--orphans", orphans, *self.pinned)

    def said(self) -> str:
        return (self.clone.root / "head.log").read_text()

    def end(self) -> None:
        if self.head.poll() is None:
            os.killpg(self.head.pid, signal.SIGKILL)
            self.head.wait()


@pytest.fixture(scope="module")
def lost(session_lab, local_run, tmp_path_factory):
    """Both studies, from the loss of their heads to their ends."""
    session_lab.recover()
    root = tmp_path_factory.mktemp("orphans")
    lost = {
        choice: Lost(local_run, root / choice, node) for choice, node in zip(("wait", "cancel"), NODES, strict=False)
    }
    try:
        for each in lost.values():
            each.lose_head()
        waiting = lost["wait"]
        waiting.doctor = waiting.asked("doctor", expect=1)
        waiting.status = waiting.asked("status", "config/small.yaml")
        waiting.prune = waiting.clone.kbit("prune", "--yes", expect=2).stderr
        for choice, each in lost.items():
            each.begin_again(choice)
        for each in lost.values():
            each.head.wait(SECONDS)
        yield lost
    finally:
        for each in lost.values():
            each.end()
        session_lab.recover()


def test_the_doctor_names_the_dead_head_and_a_command_for_each_job(lost):
    findings = lost["wait"].doctor["findings"]
    (job,) = [finding for finding in findings if finding["what"].startswith(f"Slurm job {lost['wait'].job} ")]
    assert (job["level"], job["do"].partition("or: ")[2]) == ("problem", f"scancel {lost['wait'].job}")
    assert "rule_evaluate_wildcards_" in job["what"]
    assert any(finding["do"].endswith(f"scancel --name {lost['wait'].run_id}") for finding in findings)
    assert any("was left by a head that died" in finding["what"] for finding in findings)


def test_status_counts_what_the_orphan_evaluates(lost):
    status = lost["wait"].status
    total = status["total"]
    assert (total["cells"], total["running"], total["to_do"]) == (N_CELLS, 1, 0)
    assert total["done"] + total["queued"] == N_CELLS - 1
    assert [job["id"] for job in status["slurm"]["orphans"]] == [lost["wait"].job]
    assert not status["head"]["alive"]


def test_prune_keeps_out(lost):
    assert "1 Slurm jobs of an earlier head are not done" in lost["wait"].prune


@pytest.mark.parametrize(
    ("choice", "states", "says"),
    [
        ("wait", {"COMPLETED"}, "1 Slurm jobs of an earlier run are not done: this one waits"),
        ("cancel", {"CANCELLED"}, "1 Slurm jobs of an earlier run are cancelled"),
    ],
)
def test_the_next_head_evaluates_no_finished_cell_again(choice, states, says, lost, session_lab, local_run):
    study = lost[choice]
    assert study.head.returncode == 0, study.said()
    assert says in study.said()
    assert {job["State"].split()[0] for job in session_lab.jobs(study.job)} == states
    counts = study.clone.evaluations()
    assert len(counts) == N_CELLS
    assert set(counts.values()) == {1}
    # Of a cancelled job the cell in flight, if there was one, is begun again, and no other.
    assert N_CELLS <= study.clone.count_starts() <= N_CELLS + (choice == "cancel")
    scores, others = study.clone.table("scores"), local_run.table("scores")
    shared = scores.join(others, on="cell_id", how="semi")
    assert shared.height > 0
    assert shared.equals(others.join(scores, on="cell_id", how="semi"))


def test_afterwards_a_codebook_version_re_runs_what_it_should(lost):
    """Although the part was written while no head was there to note by what."""
    clone = lost["wait"].clone
    assert clone.dry_run() == {}
    clone.edit("kbit/spec/data_types.py", '"int",\n        1,', '"int",\n        2,')
    assert clone.dry_run()["evaluate"] == 1
