"""GPUs of a job: fewer than planned end it before anything is read, more than planned are left alone."""

import sys

import pytest

from kbit.cli import main
from kbit.evaluation.gpus import VARIABLE, check_visible, listed_gpus
from kbit.evaluation.process import run_process
from kbit.evaluation.run_shard import run_shard
from kbit.spec.errors import UserError

SAY_VISIBLE = f"import os, sys; print(os.environ.get({VARIABLE!r}, 'not set'), file=sys.stderr)"


@pytest.mark.parametrize(
    ("value", "gpus"),
    [
        ("0", ["0"]),
        ("1,3", ["1", "3"]),
        ("GPU-8932f937-d72c,MIG-c7384736", ["GPU-8932f937-d72c", "MIG-c7384736"]),
        # CUDA reads up to the first entry that names no GPU.
        ("0,-1,1", ["0"]),
        ("", []),
        ("NoDevFiles", []),  # Slurm's, of a job without GPUs
    ],
)
def test_the_list_is_read_as_cuda_reads_it(monkeypatch, value, gpus):
    monkeypatch.setenv(VARIABLE, value)
    assert listed_gpus() == gpus


@pytest.mark.parametrize(("value", "visible"), [("3", 1), ("", 0), ("NoDevFiles", 0)])
def test_a_job_with_fewer_than_planned_says_so_and_stops(job, monkeypatch, value, visible):
    monkeypatch.setenv(VARIABLE, value)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    said = rf"^2 GPUs planned, {visible} visible in Slurm job 77: CUDA_VISIBLE_DEVICES is {value}; .* lower max_gpus"
    with pytest.raises(UserError, match=said):
        run_shard(job.file, job.part, threads=1, device="cuda", gpus=2, worker_command=job.command())
    assert job.workers == []
    assert not job.part.exists()


def test_the_command_ends_with_that_line_and_code_2(job, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "0")
    options = ["--part", str(job.part), "--device", "cuda", "--gpus", "2"]
    monkeypatch.setattr(sys, "argv", ["kbit", "run-shard", str(job.file), *options])
    with pytest.raises(SystemExit, match=r"^2$"):
        main()
    assert capsys.readouterr().err.startswith("kbit: 2 GPUs planned, 1 visible")


def test_what_is_finished_needs_no_gpu(job, monkeypatch):
    job.run()
    job.part.unlink()
    monkeypatch.setenv(VARIABLE, "")
    outcome = run_shard(job.file, job.part, threads=1, device="cuda", gpus=1, worker_command=job.command())
    assert outcome.evaluated == 0


@pytest.mark.parametrize(
    ("value", "planned", "seen"),
    [("2,5,7", 2, "2,5"), ("2,5", 2, "2,5"), ("2,5", 0, "2,5"), (None, 2, "0,1"), (None, 0, "not set")],
)
def test_workers_see_no_more_than_planned(monkeypatch, value, planned, seen):
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    ending = run_process([sys.executable, "-c", SAY_VISIBLE], {"threads": 1, "gpus": planned})
    assert (ending.code, ending.last_line) == (0, seen)


def test_a_list_may_promise_more_than_torch_finds(monkeypatch):
    monkeypatch.setenv(VARIABLE, "0,1")
    check_visible(planned=2, visible=2)
    with pytest.raises(UserError, match=r"^2 GPUs planned, 1 visible: CUDA_VISIBLE_DEVICES is 0,1; "):
        check_visible(planned=2, visible=1)
