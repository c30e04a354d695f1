"""A shard that is killed, shared or crashed ends with the same rows as one left alone: real model, real tasks.

Every job is `kbit run-shard` in a process of its own; what a rule of the study calls.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml
from row_counts import row_counts

from kbit.plan.plan import Plan, plan_study, write_inputs
from kbit.store.journal import JournalState, read_journals
from kbit.store.parts import read_part

ROOT = Path(__file__).parents[2]
KILLS = 5
PASSING = ("host", "git_commit", "seconds", "quantize_seconds", "peak_memory_bytes", "started_at")
STUDY = {
    "name": "interrupted",
    "title": "A study on a bad day",
    "models_files": ["models.yaml"],
    "tasks_files": [str(ROOT / "config/tasks.yaml")],
    "models": ["small"],
    "tasks": ["ho_piqa", {"name": "ho_perplexity", "item_limit": 6}],
    "item_limit": 60,
    "dtype": "float32",
    "token_budget": 2048,
    "grids": [
        {
            "data_types": ["int", "dynamic", "quantile"],
            "bits": [3, 4, 5, 8],
            "block_sizes": [64, "row"],
        }
    ],
}
N_CELLS = (3 * 4 * 2 + 1) * 2

CRASHING = """
import os, signal, sys
from kbit.evaluation import bench, worker
score = bench.Bench.score
def die_at_one_cell(self, applied, cells):
    if (cells[0].spec.slug, cells[0].task) == ("int4-b64", "ho_piqa"):
        os.kill(os.getpid(), signal.SIGKILL)
    return score(self, applied, cells)
bench.Bench.score = die_at_one_cell
sys.exit(worker.main())
"""


class Shard:
    """The one shard of a study, in a folder of its own."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self.root = root
        (self.shard,) = plan.shards

    @property
    def part(self) -> Path:
        return self.root / self.shard.part

    def command(self, *options: str) -> list[str]:
        arguments = [str(self.shard.file), "--part", str(self.shard.part), "--threads", "1", "--device", "cpu"]
        return [sys.executable, "-m", "kbit.cli", "run-shard", *arguments, *options]

    def start(self) -> subprocess.Popen:
        """A job as the leader of a process group of its own."""
        return subprocess.Popen(self.command(), cwd=self.root, start_new_session=True, stderr=subprocess.PIPE)

    def finish(self, job: subprocess.Popen) -> None:
        _, error = job.communicate(timeout=300)
        assert job.returncode == 0, error.decode()

    @property
    def journal_folder(self) -> Path:
        return self.root / "results/journal" / self.shard.model.slug

    def journals(self) -> JournalState:
        return read_journals(self.journal_folder)

    def count_starts(self) -> int:
        return sum(path.read_bytes().count(b'{"event":"start"') for path in self.journal_folder.iterdir())

    def scores(self) -> pl.DataFrame:
        """The part without what may differ between two runs of the same cell."""
        return read_part(self.part).drop(PASSING)


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> Path:
    """A folder with the study planned and its requests built."""
    root = tmp_path_factory.mktemp("planned")
    model = {"name": "small", "family": "NeoX", "path": str(ROOT / "data/models/neox-32x2")}
    (root / "models.yaml").write_text(yaml.safe_dump({"models": [model]}))
    (root / "study.yaml").write_text(yaml.safe_dump(STUDY))
    for path in plan_in(root).requests:
        spec = str(path.with_suffix(".json"))
        command = [sys.executable, "-m", "kbit.cli", "build-requests", spec, "--output", str(path)]
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    return root


def plan_in(root: Path) -> Plan:
    before = Path.cwd()
    os.chdir(root)
    try:
        plan = plan_study(Path("study.yaml"))
        write_inputs(plan)
        return plan
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def undisturbed(planned, tmp_path_factory) -> Shard:
    shard = copy_of(planned, tmp_path_factory.mktemp("undisturbed"))
    shard.finish(shard.start())
    return shard


def copy_of(planned: Path, root: Path) -> Shard:
    shutil.copytree(planned, root, dirs_exist_ok=True)
    return Shard(root, plan_in(root))


@pytest.fixture
def shard(planned, tmp_path) -> Shard:
    return copy_of(planned, tmp_path / "study")


def wait_for_rows(shard: Shard, rows: int, job: subprocess.Popen) -> None:
    deadline = time.monotonic() + 200
    while len(shard.journals().rows) < rows and job.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_shard_killed_five_times_ends_like_one_left_alone(shard, undisturbed):
    generator = random.Random(f"{os.getpid()} {time.time()}")  # random moments, so that no lucky one is tried for ever
    moments = sorted(generator.randrange(N_CELLS - 5) for _ in range(KILLS))
    for moment in moments:
        job = shard.start()
        wait_for_rows(shard, moment, job)
        time.sleep(generator.uniform(0, 0.1))
        os.killpg(job.pid, signal.SIGKILL)
        job.communicate()
        assert not shard.part.exists(), f"the job was over before it was killed; moments {moments}"
    shard.finish(shard.start())
    assert shard.scores().height == N_CELLS
    assert shard.scores().equals(undisturbed.scores(), null_equal=True)
    assert set(row_counts(shard.journal_folder).values()) == {1}, "a finished cell was evaluated again"
    assert N_CELLS <= shard.count_starts() <= N_CELLS + KILLS, "more than the cell in flight was evaluated again"


def test_two_jobs_on_one_shard_end_with_the_same_part(shard, undisturbed):
    jobs = [shard.start(), shard.start()]
    for job in jobs:
        shard.finish(job)
    assert shard.scores().equals(undisturbed.scores(), null_equal=True)
    assert not shard.journals().bad_lines
    assert [path.name for path in shard.part.parent.iterdir()] == [shard.part.name]


def test_a_disk_that_fills_up_fails_the_job_and_keeps_what_is_good(shard, undisturbed):
    limited = ["bash", "-c", 'ulimit -f 24; exec "$@"', "bash", *shard.command()]  # files of at most 24 KiB
    job = subprocess.run(limited, cwd=shard.root, capture_output=True, text=True, check=False)
    assert job.returncode == 2, job.stderr
    (said,) = [line for line in job.stderr.splitlines() if line.startswith("kbit: ")]
    (journal,) = shard.root.glob("results/journal/*/*.jsonl")
    assert said == f"kbit: journal {journal.relative_to(shard.root)} cannot be written: File too large"
    assert not shard.part.exists()
    kept = len(shard.journals().rows)
    assert 0 < kept < N_CELLS
    shard.finish(shard.start())
    assert shard.scores().equals(undisturbed.scores(), null_equal=True)
    assert shard.count_starts() == N_CELLS + 1


def test_a_damaged_part_comes_back_without_evaluating_anything(undisturbed):
    before, starts = undisturbed.scores(), undisturbed.count_starts()
    undisturbed.part.write_bytes(undisturbed.part.read_bytes()[:-100])
    undisturbed.part.unlink()
    undisturbed.finish(undisturbed.start())
    assert undisturbed.scores().equals(before, null_equal=True)
    assert undisturbed.count_starts() == starts == N_CELLS


def test_a_cell_that_kills_its_worker_twice_costs_itself_alone(shard, undisturbed):
    program = (
        "import sys; from pathlib import Path; from kbit.evaluation.run_shard import run_shard\n"
        "run_shard(Path(sys.argv[1]), Path(sys.argv[2]), 1, 'cpu',\n"
        "    worker_command=(sys.executable, '-c', sys.argv[3]))"
    )
    arguments = [str(shard.shard.file), str(shard.shard.part), CRASHING]
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=shard.root, check=True, capture_output=True)
    scores = shard.scores()
    crashed = scores.filter(status="crashed")
    assert crashed.select("spec", "task").rows() == [("int4-b64", "ho_piqa")]
    assert "signal 9" in crashed["error"][0]
    others = undisturbed.scores().join(crashed, on="cell_id", how="anti").sort("cell_id")
    assert scores.filter(pl.col("status") != "crashed").equals(others, null_equal=True)
    assert shard.count_starts() == N_CELLS + 1
