"""Two heads at once on one results folder: one runs the study, the other is refused in time and leaves no trace."""

import re
import time

import pytest
from clone import TABLES, Clone
from scenes import SECONDS, assert_same_scores, end_head

SECONDS_TO_REFUSE = 30
"""Of a head alone on this machine it takes three: Python, the plan, and a second's patience with the lock."""


@pytest.fixture
def clone(local_run, tmp_path) -> Clone:
    """A study that lacks a part; its cells stand in the journal."""
    local_run.copy_to(tmp_path / "clone")
    clone = Clone(tmp_path / "clone")
    clone.set_place()
    clone.parts()[0].unlink()
    return clone


def test_of_two_heads_started_at_once_one_runs(clone, lab, local_run):
    evaluations = clone.evaluations()
    deadline = time.monotonic() + SECONDS_TO_REFUSE
    heads = {said: clone.start_on_cluster(*TABLES, said=said) for said in ("one.log", "two.log")}
    try:
        while all(head.poll() is None for head in heads.values()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        refused, running = sorted(heads, key=lambda said: heads[said].poll() is None)
        assert heads[refused].returncode == 2
        who = rf"process {heads[running].pid} on \S+ since .*"
        line = rf"kbit: another `kbit run` holds results/ \({who}\); wait for it or stop it\n"
        assert re.fullmatch(line, (clone.root / refused).read_text())
        assert heads[running].wait(SECONDS) == 0
    finally:
        for head in heads.values():
            end_head(head)
    (job,) = lab.jobs(*clone.submitted())
    assert job["State"] == "COMPLETED"
    assert clone.evaluations() == evaluations
    assert_same_scores(clone, local_run)
    assert clone.dry_run() == {}
    assert not [*clone.root.glob(".snakemake/locks/*")]
