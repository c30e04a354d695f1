"""A disk that is full while a job writes its part or its journal: one clear line, nothing half-written, and it goes on.

Two studies of the same seven cells run at the same time, each with a folder of its results on a tiny disk of its own.
"""

import subprocess
from contextlib import ExitStack, contextmanager

import pytest
from lab_files import NODES
from scenes import N_CELLS, SECONDS, Scene, assert_same_scores, at_the_same_time, prepared, wait_for_heads

FOLDERS = ("parts", "journal")
SIZE = "8k"
"""Too small for the part; of the journal, for all but a few cells."""


@contextmanager
def small_disk(folder):
    """A file system of a few kilobytes on a folder, seen by all nodes, until this ends."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "kbit-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs to mount a small file system: {done.stderr.strip()}")
    try:
        yield
    finally:
        # Lazily: a job that was not ended may have its journal open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def scenes(session_lab, local_run, tmp_path_factory):
    """Both studies, until their disks are full."""
    root = tmp_path_factory.mktemp("disks")
    with ExitStack() as disks, at_the_same_time(session_lab) as scenes:
        for name, node in zip(FOLDERS, NODES, strict=False):
            clone = prepared(local_run, root / name)
            disks.enter_context(small_disk(clone.root / "results" / name))
            scenes[name] = Scene(clone, node, "--retries", "0")
        wait_for_heads(scenes)
        yield scenes


def go_on_with_room(scene: Scene, name: str) -> None:
    """Make room and type the same command again."""
    subprocess.run(["mount", "-o", "remount,size=10m", str(scene.clone.root / "results" / name)], check=True)
    scene.begin("--retries", "0")
    assert scene.head.wait(SECONDS) == 0, scene.said()


def failure(scene: Scene, name: str) -> str:
    """The one line of the job that failed."""
    assert scene.head.returncode == 2, scene.said()
    (line,) = {line for line in scene.said().splitlines() if line.startswith("kbit: ")}
    assert f"no space left on the disk at {scene.clone.root}/results/{name} (0.0 MB free)" in line
    assert scene.clone.parts() == []
    return line


def test_a_disk_full_of_parts(scenes, local_run):
    scene = scenes["parts"]
    assert failure(scene, "parts").startswith("kbit: part results/parts/")
    assert [path for path in (scene.clone.root / "results/parts").rglob("*") if path.is_file()] == []
    assert scene.clone.finished_cells() == N_CELLS
    scene.clone.kbit("verify")
    go_on_with_room(scene, "parts")
    assert scene.clone.count_starts() == N_CELLS
    assert set(scene.clone.evaluations().values()) == {1}
    assert_same_scores(scene.clone, local_run)


def test_a_disk_full_of_journals(scenes, local_run):
    scene = scenes["journal"]
    assert failure(scene, "journal").startswith("kbit: journal results/journal/")
    finished = scene.clone.finished_cells()
    assert 0 < finished < N_CELLS
    scene.clone.kbit("verify")
    go_on_with_room(scene, "journal")
    assert len(scene.clone.evaluations()) == N_CELLS
    assert set(scene.clone.evaluations().values()) == {1}
    assert scene.clone.count_starts() <= N_CELLS + 1
    assert_same_scores(scene.clone, local_run)
    scene.clone.kbit("verify")
