"""Studies of seven cells that have a bad day on the cluster, several at the same time."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clone import TABLES, Clone
from lab import Lab
from lab_files import PARTITION

N_CELLS = 7
SECONDS = 400


class Scene:
    """A study in a clone of its own, whose head was started."""

    def __init__(self, clone: Clone, node: str | None = None, *arguments: str) -> None:
        self.clone = clone
        self.pinned = ["--set-resources", f"evaluate:slurm_extra='-w {node}'"] if node else []
        self.begin(*arguments)

    def begin(self, *arguments: str) -> None:
        """Start a head."""
        self.head = self.clone.start_on_cluster(*TABLES, *self.pinned, *arguments)

    def jobs(self, lab: Lab) -> list[dict[str, str]]:
        """Every start of the jobs that evaluate, which the latest head submitted."""
        return lab.jobs(*self.clone.submitted())

    def said(self) -> str:
        """All that heads printed."""
        return (self.clone.root / "head.log").read_text()

    def end(self) -> None:
        end_head(self.head)


@contextmanager
def at_the_same_time(lab: Lab) -> Iterator[dict[str, Scene]]:
    """To be filled with scenes: when the block ends, however it does, so do their heads, and the cluster recovers."""
    lab.recover()
    scenes: dict[str, Scene] = {}
    try:
        yield scenes
    finally:
        for scene in scenes.values():
            scene.end()
        lab.recover()


def wait_for_heads(scenes: dict[str, Scene]) -> None:
    for scene in scenes.values():
        scene.head.wait(SECONDS)


def end_head(head: subprocess.Popen) -> None:
    """Kill a head that still runs, with all that it started here."""
    if head.poll() is None:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()


def prepared(local_run: Clone, root: Path, partition: str = PARTITION) -> Clone:
    """A clone with the study of seven cells planned to go through Slurm, its requests built."""
    local_run.copy_to(root)
    clone = Clone(root)
    clone.set_place(partition)
    clone.write_study(models=["a"], bits=[3, 4, 5, 6, 7, 8])
    clone.forget_results()
    return clone


def assert_same_scores(clone: Clone, local_run: Clone) -> None:
    """Cells that both studies have scored have the same scores, bit for bit."""
    scores, others = clone.table("scores"), local_run.table("scores")
    shared = scores.join(others, on="cell_id", how="semi")
    assert shared.height > 0
    assert shared.equals(others.join(scores, on="cell_id", how="semi"))
