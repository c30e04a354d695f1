"""Workers that the kernel kills at their job's memory limit: the next attempt has more, and no cell blocks a study."""

from pathlib import Path

import pytest

from kbit.evaluation import memory_deaths
from kbit.spec.errors import UserError
from kbit.store.parts import read_part

MB = 2**20
CELL = "int3-b64/a"


class Group:
    """The control group of a Slurm job on a node whose /proc and /sys lie in a scratch folder."""

    def __init__(self, system: Path) -> None:
        self.folder = system / "sys/fs/cgroup/slurm/job_7"
        for file in (system / "proc/self/cgroup", self.folder / "memory.events"):
            file.parent.mkdir(parents=True)
        (system / "proc/self/cgroup").write_text("0::/slurm/job_7\n")
        (self.folder / "memory.events").write_text("oom_kill 3")
        self.limit(1000 * MB)

    def limit(self, size: int) -> None:
        (self.folder / "memory.max").write_text(str(size))

    def needs(self, **sizes: int) -> dict[str, object]:
        """What the scripted worker is told."""
        return {"group": str(self.folder), "needs": sizes}


@pytest.fixture
def group(tmp_path, monkeypatch) -> Group:
    monkeypatch.setattr(memory_deaths, "SYSTEM", tmp_path / "node")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    return Group(tmp_path / "node")


def test_a_cell_that_needs_more_memory_gets_it_in_the_next_attempt(job, group):
    script = group.needs(**{CELL: 1500 * MB})
    with pytest.raises(UserError, match=r"out of memory at 1 of its cells \(int3-b64, a\): .* limit of 1,000 MB"):
        job.run(**script)
    assert not job.part.exists()
    assert len(job.journals.rows) == 7, "the rest of the shard is evaluated in the first attempt"
    group.limit(2000 * MB)
    outcome = job.run(**script)
    assert (outcome.evaluated, outcome.statuses) == (1, {"ok": 8})
    assert set(job.row_counts.values()) == {1}


def test_a_cell_that_fits_nowhere_becomes_crashed_when_the_study_is_run_again(job, group):
    script = group.needs(**{CELL: 10**12, "int5-b64/b": 10**12})
    for attempt in (1, 2, 3):
        group.limit(1000 * MB * attempt)
        with pytest.raises(UserError, match=r"at 2 of its cells"):
            job.run(**script)
    assert len(job.journals.deaths) == 2
    group.limit(1000 * MB)
    workers = len(job.workers)
    outcome = job.run(fault="no worker was to be started")
    assert len(job.workers) == workers
    assert outcome.statuses == {"ok": 6, "crashed": 2}
    row = read_part(job.part).filter(status="crashed", spec="int3-b64").to_dicts()[0]
    assert row["error"] == "out of memory: its worker was killed in jobs with limits of 1,000 MB, 2,000 MB, 3,000 MB"
    assert row["torch_version"]
    assert row["started_at"]
    assert not job.journals.deaths


@pytest.mark.parametrize(("died_at", "limit"), [([1000], 1000), ([1000, 2000], 1001), ([1000, 1000], 1001)])
def test_a_cell_is_tried_where_it_may_fare_better(died_at, limit, job, group):
    """After one death, which a killed head may not have followed by more memory; and wherever there is more."""
    for lower in died_at:
        group.limit(lower * MB)
        with pytest.raises(UserError, match="out of memory"):
            job.run(**group.needs(**{CELL: 10**12}))
    group.limit(limit * MB)
    assert job.run(**group.needs()).statuses == {"ok": 8}


def test_no_room_for_the_model_fails_the_job(job, group):
    with pytest.raises(UserError, match="out of memory before its first cell: the kernel killed its worker"):
        job.run(**group.needs(**{"": 10**12}))
    assert len(job.workers) == 1


def test_no_room_wherever_workers_begin_fails_the_job_at_once(job, group):
    with pytest.raises(UserError, match=r"at 5 of its cells \(none16, a; \.\.\.\)"):
        job.run(**group.needs(**dict.fromkeys(job.NAMES, 10**12)))
    assert len(job.workers) == 5


@pytest.mark.usefixtures("group")
def test_a_kill_that_the_group_does_not_count_is_a_crash(job):
    """The kernel's choice when the whole node is short of memory, or an administrator's."""
    assert job.run(kill=[CELL]).statuses == {"ok": 7, "crashed": 1}


def test_outside_of_slurm_nobody_would_ask_for_more(job, group, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID")
    assert job.run(**group.needs(**{CELL: 10**12})).statuses == {"ok": 7, "crashed": 1}


def test_where_control_groups_are_out_of_sight_a_death_is_a_death(job, monkeypatch, tmp_path):
    monkeypatch.setattr(memory_deaths, "SYSTEM", tmp_path / "nowhere")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert job.run(kill=[CELL]).statuses == {"ok": 7, "crashed": 1}
