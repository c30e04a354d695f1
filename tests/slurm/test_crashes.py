"""Cells that kill their process: rows that say so, and neither their shard nor their study is lost.

Two studies of the same seven cells run at the same time. In one, cells crash; in the other, on a node with control
groups, they take more memory than their job has, once more than the first attempt asks for, once more than there is.
"""

import json

import pytest
from lab_files import LIMITED, NODES, has_control_groups
from scenes import N_CELLS, Scene, assert_same_scores, at_the_same_time, prepared, wait_for_heads

CRASH = """
import ctypes, os, signal
if cells[0].spec.slug == "int4-b64":
    ctypes.string_at(0)
if cells[0].spec.slug == "int6-b64":
    # What the kernel sends where a whole node is short of memory.
    os.kill(os.getpid(), signal.SIGKILL)
"""
ALLOCATE = """
if cells[0].spec.slug == "int5-b64":
    # More than the first attempt asks for, less than the second.
    room = b"x" * 2_600_000_000
    del room
if cells[0].spec.slug == "int6-b64":
    # More than any asks for.
    room = [b"x" * 500_000_000 for _ in range(20)]
"""


@pytest.fixture(scope="module")
def scenes(session_lab, local_run, tmp_path_factory):
    """The studies, run to their ends; the one that is short of memory is there where the node is."""
    root = tmp_path_factory.mktemp("crashes")
    crash = prepared(local_run, root / "crash")
    crash.disturb(CRASH)
    with at_the_same_time(session_lab) as scenes:
        scenes["crash"] = Scene(crash, NODES[0])
        if has_control_groups():
            memory = prepared(local_run, root / "memory", LIMITED)
            memory.disturb(ALLOCATE)
            scenes["memory"] = Scene(memory, None, "--retries", "1")
        wait_for_heads(scenes)
        yield scenes


def test_cells_that_crash_cost_themselves_alone(scenes, session_lab, local_run):
    scene = scenes["crash"]
    assert scene.head.returncode == 0, scene.said()
    assert [job["State"] for job in scene.jobs(session_lab)] == ["COMPLETED"]
    cells = scene.clone.table("cells")
    crashed = dict(cells.filter(status="crashed").select("spec", "error").rows())
    assert set(crashed) == {"int4-b64", "int6-b64"}
    assert "signal 11" in crashed["int4-b64"]
    assert "signal 9" in crashed["int6-b64"]
    assert cells["status"].to_list().count("ok") == N_CELLS - 2
    assert scene.clone.count_starts() == N_CELLS + 2, "each of the two was tried twice, no other cell"
    assert_same_scores(scene.clone, local_run)


def test_status_counts_crashed_cells(scenes):
    status = json.loads(scenes["crash"].clone.kbit("status", "config/small.yaml", "--json").stdout)
    assert status["total"]["done"] == N_CELLS
    assert status["total"]["statuses"] == {"ok": N_CELLS - 2, "crashed": 2}


def test_memory_that_the_kernel_denies_is_asked_for_by_the_next_attempt(scenes, session_lab, local_run):
    if "memory" not in scenes:
        pytest.skip("needs control groups of version 1 for memory, and root that may make them; this machine has none")
    scene = scenes["memory"]
    first, second = scene.jobs(session_lab)
    assert {first["State"], second["State"]} <= {"FAILED", "OUT_OF_MEMORY"}
    asked = int(first["ReqMem"].removesuffix("M"))
    assert second["ReqMem"] == f"{2 * asked}M"
    # The one that fits nowhere is told, and what it needs.
    assert scene.head.returncode == 2
    told = "out of memory at 1 of its cells (int6-b64, ho_piqa): the kernel killed its worker at this job's limit of "
    assert f"{told}{2 * asked:,} MB" in scene.said()
    assert set(scene.clone.evaluations().values()) == {1}
    assert scene.clone.finished_cells() == N_CELLS - 1
    # With no more than that it is not tried again.
    starts = scene.clone.count_starts()
    scene.clone.run_on_cluster("--until", "tables")
    assert [job["State"] for job in scene.jobs(session_lab)] == ["COMPLETED"]
    assert scene.clone.count_starts() == starts == N_CELLS + 2
    cells = scene.clone.table("cells")
    (crashed,) = cells.filter(status="crashed").to_dicts()
    assert crashed["spec"] == "int6-b64"
    assert crashed["error"] == (
        f"out of memory: its worker was killed in jobs with limits of {asked:,} MB, {2 * asked:,} MB"
    )
    assert cells["status"].to_list().count("ok") == N_CELLS - 1
    assert_same_scores(scene.clone, local_run)
