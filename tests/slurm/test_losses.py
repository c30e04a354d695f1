"""Jobs that are cut off: the next attempt asks for what was lacking, and none evaluates a finished cell again.

Four studies of the same seven cells run at the same time, each of which loses its job in another way.
"""

import os
import time

import pytest
from lab import Lab
from lab_files import NODES, SCAVENGE
from scenes import N_CELLS, SECONDS, Scene, assert_same_scores, at_the_same_time, prepared, wait_for_heads

ALLOCATE = """
import time
if cells[0].spec.slug == "int5-b64":
    # More than the first attempt asks for, written to and held until the cluster has looked.
    room = b"x" * 2_000_000_000
    time.sleep(8)
    del room
"""


@pytest.fixture(scope="module")
def scenes(session_lab, local_run, tmp_path_factory):
    """The four studies, run to their ends."""
    root = tmp_path_factory.mktemp("losses")
    clones = {name: prepared(local_run, root / name) for name in ("time", "memory", "node")}
    clones["preempted"] = prepared(local_run, root / "preempted", partition=SCAVENGE)
    clones["time"].edit("kbit/plan/cost.py", "LEAST_MINUTES = 5", "LEAST_MINUTES = 1")
    clones["time"].disturb("import time; time.sleep(10)")
    clones["memory"].disturb(ALLOCATE)
    for name in ("preempted", "node"):
        clones[name].disturb("import time; time.sleep(4)")
    # Every job on its own node but two; the one that loses its node is free to go elsewhere, and starts on the first.
    first, second, third = NODES
    pins = {"node": None, "time": second, "memory": second, "preempted": third}
    with at_the_same_time(session_lab) as scenes:
        for name, node in pins.items():
            scenes[name] = Scene(clones[name], node)
        try:
            lose_node(scenes["node"], session_lab, first)
            preempt(scenes["preempted"], session_lab, third)
            wait_for_heads(scenes)
            yield scenes
        finally:
            session_lab.start_node(first)


def wait_for_cells(scene: Scene, count: int) -> None:
    deadline = time.monotonic() + SECONDS
    while scene.clone.finished_cells() < count:
        assert time.monotonic() < deadline
        assert scene.head.poll() is None, (scene.clone.root / "head.log").read_text()
        time.sleep(0.2)


def lose_node(scene: Scene, lab: Lab, node: str) -> None:
    wait_for_cells(scene, 2)
    assert [job["NodeList"] for job in scene.jobs(lab)] == [node], "the other studies must not lose theirs"
    lab.kill_node(node)
    # A cell that went on after the power cut would be no power cut.
    before = scene.clone.finished_cells()
    time.sleep(6)
    assert scene.clone.finished_cells() == before


def preempt(scene: Scene, lab: Lab, node: str) -> None:
    wait_for_cells(scene, 1)
    lab.call("sbatch", "-w", node, "--exclusive", "--output", os.devnull, "--wrap", "sleep 5")


@pytest.mark.parametrize(
    ("name", "states", "submissions"),
    [
        ("time", ["TIMEOUT", "COMPLETED"], 2),
        # Killed for memory by polling; with control groups it would be OUT_OF_MEMORY.
        ("memory", ["FAILED", "COMPLETED"], 2),
        ("preempted", ["PREEMPTED", "COMPLETED"], 1),
        ("node", ["NODE_FAIL", "COMPLETED"], 1),
    ],
)
def test_a_study_that_lost_its_job_ends_as_if_it_had_not(scenes, session_lab, local_run, name, states, submissions):
    scene = scenes[name]
    assert scene.head.returncode == 0, (scene.clone.root / "head.log").read_text()
    jobs = scene.jobs(session_lab)
    assert [job["State"] for job in jobs] == states
    assert len(scene.clone.submitted()) == submissions
    counts = scene.clone.evaluations()
    assert len(counts) == N_CELLS
    assert set(counts.values()) == {1}
    assert scene.clone.count_starts() <= N_CELLS + 1, "more than the cell in flight was begun again"
    assert set(scene.clone.table("cells")["status"]) == {"ok"}
    assert_same_scores(scene.clone, local_run)
