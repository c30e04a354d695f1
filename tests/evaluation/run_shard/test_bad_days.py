"""Workers that die, fail, hang or are not alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kbit.evaluation.run_shard import run_shard
from kbit.spec.errors import UserError
from kbit.store.journal import JournalWriter
from kbit.store.parts import read_part
from kbit.store.paths import journal_folder

PASSING = ["host", "git_commit", "seconds", "quantize_seconds", "peak_memory_bytes", "started_at"]


def test_a_worker_that_dies_is_replaced_and_its_cell_goes_last(job):
    outcome = job.run(kill=["int3-b64/a"])
    assert outcome.statuses == {"ok": 7, "crashed": 1}
    assert job.statuses()["int3-b64/a"] == "crashed"
    first, second = job.workers
    assert first["cells"][2] == second["cells"][-1]
    assert second["cells"][-2:] == [cell["cell_id"] for cell in reversed(job.shard_json()["cells"][2:4])]
    (row,) = read_part(job.part).filter(status="crashed").to_dicts()
    assert "signal 9" in row["error"]
    assert (row["metrics"], row["samples"], row["body_bits"]) == (None, None, None)
    assert row["torch_version"]


def test_a_crashed_cell_is_final(job):
    job.run(kill=["int3-b64/a"])
    job.part.unlink()
    assert job.run(fault="no worker was to be started").evaluated == 0


def test_several_crashing_cells_cost_only_themselves(job):
    bad = ["int3-b64/a", "int3-b64/b", "int5-b64/b"]
    outcome = job.run(**{"raise": bad})
    assert outcome.statuses == {"ok": 5, "crashed": 3}
    errors = read_part(job.part).filter(status="crashed")["error"].to_list()
    assert sorted(error.rsplit(" at ")[-1] for error in errors) == bad
    assert all("ZeroDivisionError" in error for error in errors)
    assert set(job.row_counts.values()) == {1}


def test_workers_that_die_wherever_they_begin_are_the_nodes_fault(job):
    with pytest.raises(UserError, match="workers died at 3 different specs and finished no cell"):
        job.run(kill=job.NAMES)
    assert not job.part.exists()
    assert not job.journals.rows


def test_a_worker_that_dies_before_its_first_cell_fails_the_job(job):
    broken = (sys.executable, "-c", "import sys; sys.exit('no such library')")
    with pytest.raises(UserError, match="ended with exit code 1 before its first cell: no such library"):
        run_shard(job.file, job.part, threads=1, worker_command=broken)
    assert not job.part.exists()


def test_a_fault_of_the_model_fails_the_job_and_keeps_what_is_good(job, capfd):
    with pytest.raises(UserError, match=r"^weight of int4-b64/a is broken$"):
        job.run(fault_at=["int4-b64/a"])
    assert not job.part.exists()
    assert len(job.journals.rows) == 4
    assert "kbit:" not in capfd.readouterr().err  # the one line is the caller's to print
    assert job.run().evaluated == 4


def test_failed_cells_are_recorded_and_tried_again(job):
    outcome = job.run(fail=["int3-b64/a"])
    assert outcome.statuses == {"ok": 7, "failed": 1}
    assert read_part(job.part).filter(status="failed")["error"].to_list() == ["OSError: no answer"]
    assert len(job.workers) == 1
    outcome = job.run()
    assert (outcome.evaluated, outcome.statuses) == (1, {"ok": 8})


def test_a_lost_device_is_no_crash(job):
    outcome = job.run(lose=["int3-b64/a", "int5-b64/a"])
    assert outcome.statuses == {"ok": 6, "failed": 2}
    # A node whose GPU is gone must not go on with its CPU.
    assert [worker["device"] for worker in job.workers] == ["cpu", "cuda", "cuda"]


def test_a_cell_open_when_an_earlier_job_ended_goes_last(job):
    cells = [cell["cell_id"] for cell in job.shard_json()["cells"]]
    with JournalWriter(journal_folder(job.MODEL) / "all.earlier.jsonl") as journal:
        journal.start(cells[2], {})
    job.run()
    (worker,) = job.workers
    assert worker["cells"] == [*cells[:2], *cells[4:], cells[3], cells[2]]


def test_two_jobs_on_one_shard_tear_nothing(job):
    program = (
        "import sys; from pathlib import Path; from kbit.evaluation.run_shard import run_shard\n"
        "run_shard(Path(sys.argv[1]), Path(sys.argv[2]), 1, 'cpu', worker_command=tuple(sys.argv[3:]))"
    )
    arguments = [sys.executable, "-c", program, str(job.file), str(job.part), *job.command()]
    runners = [subprocess.Popen(arguments, stderr=subprocess.PIPE) for _ in range(3)]
    for runner in runners:
        _, error = runner.communicate(timeout=120)
        assert runner.returncode == 0, error
    assert not job.journals.bad_lines
    assert job.statuses() == dict.fromkeys(job.NAMES, "ok")
    assert [path.name for path in job.part.parent.iterdir()] == [job.part.name]
    rebuilt = read_part(job.part).drop(PASSING)
    job.part.unlink()
    job.run(fault="no worker was to be started")
    assert read_part(job.part).drop(PASSING).equals(rebuilt, null_equal=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_ends_with_its_parent(number, job):
    program = (
        "import sys; from pathlib import Path; from kbit.evaluation.run_shard import run_shard\n"
        "run_shard(Path(sys.argv[1]), Path(sys.argv[2]), 1, 'cpu', worker_command=tuple(sys.argv[3:]))"
    )
    script = job.command(hang=["int4-b64/a"])
    parent = subprocess.Popen([sys.executable, "-c", program, str(job.file), str(job.part), *script])
    wait_until(lambda: len(job.journals.open_starts) == 1 and len(job.journals.rows) == 4)
    parent.send_signal(number)
    assert parent.wait(30) == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    wait_until(lambda: not is_alive(job.workers[0]["pid"]))
    assert not job.part.exists()
    assert job.run().evaluated == 4


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
