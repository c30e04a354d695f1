"""Slurm's queue as this results folder sees it. The program is a script here; tests/slurm asks a real one."""

import os
import stat
import time
from pathlib import Path

import pytest

from kbit.cli import orphans
from kbit.spec.errors import UserError
from kbit.store.head import hold_results
from kbit.upkeep import slurm
from kbit.upkeep.slurm import Job, read_queue

OLD_RUN, NEW_RUN = "4bd0a7cd-2e9a-4c1f-a5b5-6e1c6a0d1f11", "a_prefix_4bd0a7cd-2e9a-4c1f-a5b5-6e1c6a0d1f22"


def write_log(path: str, run: str, age: float) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(f"host: n1\nBuilding DAG of jobs...\nSLURM run ID: {run}\n")
    os.utime(path, (time.time() - age, time.time() - age))


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Puts a squeue on the PATH: the body of a shell script."""

    def write(body: str) -> None:
        program = tmp_path / "bin" / "squeue"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    write_log("results/studies/small/logs/20260101T000000.log", OLD_RUN, age=500)
    write_log(".snakemake/log/2026-01-02.snakemake.log", NEW_RUN, age=100)
    return write


def test_jobs_are_asked_for_by_the_run_ids_in_the_logs(squeue):
    squeue(f"""echo "$@" >&2
cat <<END
7|RUNNING|1:02|{OLD_RUN}|None|rule_evaluate_wildcards_m_all_0123456789ab
8|PENDING|0:00|{NEW_RUN}|Resources|rule_build_requests_wildcards_t_0123456789ab
END
[ "$2" = --name={NEW_RUN},{OLD_RUN} ]""")
    queue = read_queue()
    assert queue.silence == ""
    assert queue.jobs == [
        Job("7", "RUNNING", "1:02", OLD_RUN, "None", "rule_evaluate_wildcards_m_all_0123456789ab"),
        Job("8", "PENDING", "0:00", NEW_RUN, "Resources", "rule_build_requests_wildcards_t_0123456789ab"),
    ]
    assert [job.runs for job in queue.jobs] == [True, False]
    assert queue.orphans == queue.jobs


def test_jobs_of_the_run_at_work_are_no_orphans(squeue):
    write_log("results/studies/small/logs/20260103T000000.log", NEW_RUN, age=10)
    squeue(f"echo '7|RUNNING|1:02|{OLD_RUN}|None|c'; echo '8|RUNNING|0:10|{NEW_RUN}|None|c'")
    with hold_results():
        assert [job.id for job in read_queue().orphans] == ["7"]
    with hold_results("kbit prune"):
        assert [job.id for job in read_queue().orphans] == ["7", "8"]


def test_jobs_of_a_snakemake_started_by_hand_are_told_apart_while_its_lock_is_there(squeue):
    """NEW_RUN stands in Snakemake's log alone. Whoever would submit beside them waits for them all the same."""
    squeue(f"echo '7|RUNNING|1:02|{OLD_RUN}|None|c'; echo '8|RUNNING|0:10|{NEW_RUN}|None|c'")
    assert [job.id for job in read_queue().lost] == ["7", "8"]
    Path(".snakemake/locks").mkdir()
    Path(".snakemake/locks/0.input.lock").touch()
    queue = read_queue()
    assert [job.id for job in queue.lost] == ["7"]
    assert [job.id for job in queue.orphans] == ["7", "8"]


def test_a_run_elsewhere_than_on_slurm_owns_no_job(squeue):
    log = Path("results/studies/small/logs/20260103T000000.log")
    log.write_text("Building DAG of jobs...\n")
    squeue(f"echo '7|RUNNING|1:02|{OLD_RUN}|None|c'")
    with hold_results():
        assert [job.id for job in read_queue().orphans] == ["7"]


@pytest.mark.usefixtures("folder")
def test_where_slurm_was_never_used_it_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    queue = read_queue()
    assert (queue.jobs, queue.silence) == ((), "")


def test_a_squeue_that_is_missing_fails_or_hangs_is_no_answer(squeue, monkeypatch, tmp_path):
    squeue("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert read_queue().silence == "squeue: slurm_load_jobs error: Unable to contact slurm controller"
    monkeypatch.setattr(slurm, "QUEUE_SECONDS", 0.2)
    squeue("exec sleep 20")
    began = time.monotonic()
    assert read_queue().silence == "squeue did not answer in 0.2 seconds"
    assert time.monotonic() - began < 5
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert read_queue().silence == "squeue is not on the PATH of this machine"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo 'Dear user, Slurm is down until noon'", "no list of jobs: 'Dear user, Slurm is down until noon'"),
        (r"printf '\377\376\000 | |'", "answered with no list of jobs: "),
        (r"printf '\377' >&2; exit 3", "squeue: \ufffd"),
        ("exit 3", "squeue: exit code 3"),
        ("sleep 5; echo late", "squeue did not answer in 0.2 seconds"),  # the shell's child keeps the pipe open
    ],
    ids=["prose", "bytes", "broken complaint", "fails without a word", "a wrapper that hangs"],
)
def test_a_squeue_that_talks_nonsense_is_no_answer(body, said, squeue, monkeypatch):
    squeue(body)
    monkeypatch.setattr(slurm, "QUEUE_SECONDS", 0.2 if "sleep" in body else 10)
    began = time.monotonic()
    assert said in read_queue().silence
    assert time.monotonic() - began < 4


def test_a_squeue_that_cannot_be_executed_is_no_answer(squeue, monkeypatch, tmp_path):
    squeue("")
    (tmp_path / "bin/squeue").write_text("#!/no/such/shell\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert read_queue().silence == "squeue cannot be run: No such file or directory"


def test_jobs_are_found_among_what_a_wrapper_adds(squeue):
    squeue(f"printf 'maintenance on \\377riday\\n7|RUNNING|1:02|{OLD_RUN}|None|rule_x\\n'")
    assert [job.id for job in read_queue().jobs] == ["7"]


def test_a_run_waits_for_the_orphans_of_an_earlier_one(squeue, monkeypatch, capsys, tmp_path):
    """The queue gets shorter each time it is asked."""
    monkeypatch.setattr(orphans, "POLL_SECONDS", 0)
    jobs = "".join(f"{number}|RUNNING|1:00|{OLD_RUN}|None|c\n" for number in (7, 8, 9))
    (tmp_path / "queue").write_text(jobs)
    squeue(f"cat {tmp_path}/queue; sed -i 1d {tmp_path}/queue")
    with hold_results():
        orphans.settle_orphans("wait")
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("3 Slurm jobs of an earlier run are not done: this one waits for them")
    assert told[1:] == ["2 of them are left", "1 of them are left"]


@pytest.mark.parametrize("choice", orphans.CHOICES)
def test_a_run_leaves_a_snakemake_alone_that_was_started_by_hand(squeue, choice):
    squeue(f"echo '7|RUNNING|1:02|{OLD_RUN}|None|c'; echo '8|RUNNING|0:10|{NEW_RUN}|None|c'")
    Path(".snakemake/locks").mkdir()
    Path(".snakemake/locks/0.input.lock").touch()
    with hold_results(), pytest.raises(UserError, match=r"1 Slurm jobs belong to a snakemake .* by hand"):
        orphans.settle_orphans(choice)


def test_a_run_cancels_them_when_told(squeue, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(orphans, "POLL_SECONDS", 0)
    squeue(f"test -e {tmp_path}/cancelled || echo '7|RUNNING|1:00|{OLD_RUN}|None|c'")
    scancel = tmp_path / "bin/scancel"
    scancel.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/cancelled\n')
    scancel.chmod(0o755)
    with hold_results():
        orphans.settle_orphans("cancel")
    assert (tmp_path / "cancelled").read_text() == f"--name={OLD_RUN}\n"
    assert "1 Slurm jobs of an earlier run are cancelled" in capsys.readouterr().out


def test_jobs_that_scancel_refuses_are_told_and_waited_for(squeue, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(orphans, "POLL_SECONDS", 0)
    (tmp_path / "queue").write_text(f"7|RUNNING|1:00|{OLD_RUN}|None|c\n" * 3)
    squeue(f"cat {tmp_path}/queue; sed -i 1d {tmp_path}/queue")
    scancel = tmp_path / "bin/scancel"
    scancel.write_text("#!/bin/sh\necho 'scancel: error: Access denied' >&2; exit 1\n")
    scancel.chmod(0o755)
    with hold_results():
        orphans.settle_orphans("cancel")
    told = capsys.readouterr().out
    assert f"scancel --name={OLD_RUN} failed (scancel: error: Access denied): its jobs are waited for" in told
    assert told.endswith("2 of them are left\n1 of them are left\n")


def test_a_run_that_waits_on_a_silent_queue_says_so(squeue, monkeypatch, capsys, tmp_path):
    """It answers once, is silent twice, then says that the job is gone."""
    monkeypatch.setattr(orphans, "POLL_SECONDS", 0)
    monkeypatch.setattr(orphans, "SILENT_SECONDS", 0)
    answers = ["echo '7|RUNNING|1:00|" + OLD_RUN + "|None|c'", "echo busy >&2; exit 1", "echo busy >&2; exit 1", ":"]
    (tmp_path / "answers").write_text("\n".join(answers))
    squeue(f'answer=$(head -n 1 {tmp_path}/answers); sed -i 1d {tmp_path}/answers; eval "$answer"')
    with hold_results():
        orphans.settle_orphans("wait")
    told = capsys.readouterr().out.splitlines()[1:]
    assert len(told) == 2
    (line,) = set(told)
    assert line.startswith("Slurm's queue cannot be read (squeue: busy): still waiting for 1 jobs")


def test_a_busy_controller_is_asked_again_before_a_run_begins(squeue, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(orphans, "POLL_SECONDS", 0)
    (tmp_path / "queue").write_text(f"7|RUNNING|1:00|{OLD_RUN}|None|c\n")
    squeue(
        f"test -e {tmp_path}/asked || {{ touch {tmp_path}/asked; echo busy >&2; exit 1; }}\n"
        f"cat {tmp_path}/queue; sed -i 1d {tmp_path}/queue"
    )
    with hold_results():
        orphans.settle_orphans("wait")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Slurm's queue is unknown (squeue: busy): asked again in 0 seconds"
    assert second.startswith("1 Slurm jobs of an earlier run are not done")


def test_a_queue_that_stays_silent_stops_no_run(squeue, monkeypatch, capsys):
    monkeypatch.setattr(orphans, "POLL_SECONDS", 0)
    squeue("exit 1")
    with hold_results():
        orphans.settle_orphans("wait")
    told = capsys.readouterr().out.splitlines()
    assert len(told) == orphans.TRIES
    assert told[-1].endswith("jobs of an earlier run, if any, go on beside this one")


def test_what_becomes_of_orphans_is_wait_or_cancel():
    orphans.check_choice("wait")
    with pytest.raises(UserError, match=r"--orphans 'keep' is not one of wait, cancel"):
        orphans.check_choice("keep")
