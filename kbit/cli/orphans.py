"""Slurm jobs that a dead head left behind, before the next one starts: waited for, or cancelled.

They go on by themselves and their cells are kept; but a new head would submit the same shards beside them.
"""

import shutil
import subprocess
import time

from kbit.spec.errors import UserError, choice_error
from kbit.upkeep.slurm import Job, Queue, read_queue

CHOICES = ("wait", "cancel")
POLL_SECONDS = 15
TRIES = 4
"""For a first answer."""
CANCEL_SECONDS = 60
"""A busy controller answers late."""
SILENT_SECONDS = 300
"""The queue may be silent for so long before the user is told, and is told again."""


def check_choice(choice: str) -> None:
    """UserError for a word that `--orphans` does not take."""
    if choice not in CHOICES:
        raise choice_error("--orphans", choice, CHOICES, "option of kbit run")


def settle_orphans(choice: str) -> None:
    """Return when Slurm has no job left of an earlier head of this results folder. The caller holds the folder.

    UserError if there are jobs of a snakemake that was started by hand and may be alive.
    """
    queue = first_answer()
    if queue.silence:
        tell(f"Slurm's queue is unknown ({queue.silence}): jobs of an earlier run, if any, go on beside this one")
        return
    jobs = queue.orphans
    if not jobs:
        return
    if by_hand := sum(job.run in queue.by_hand for job in jobs):
        raise UserError(
            f"{by_hand} Slurm jobs belong to a snakemake that was started by hand and whose lock is there: let it "
            "end, or, if it is dead, take its lock back with `snakemake --unlock` and run again"
        )
    if choice == "cancel":
        tell(f"{len(jobs)} Slurm jobs of an earlier run are cancelled; the cells they finished are kept")
        cancel(jobs)
    else:
        tell(
            f"{len(jobs)} Slurm jobs of an earlier run are not done: this one waits for them, then goes on with what "
            "is missing (--orphans cancel cancels them instead)"
        )
    wait_for(jobs)


def first_answer() -> Queue:
    """The queue. A squeue that is there but says nothing is asked again: a busy controller is no reason to submit
    what may be running already."""
    queue = read_queue(headless=True)
    for _ in range(TRIES - 1):
        if not queue.silence or shutil.which("squeue") is None:
            break
        tell(f"Slurm's queue is unknown ({queue.silence}): asked again in {POLL_SECONDS} seconds")
        time.sleep(POLL_SECONDS)
        queue = read_queue(headless=True)
    return queue


def cancel(jobs: list[Job]) -> None:
    """Cancel them, head by head. What scancel refuses is told; such jobs are waited for like any other."""
    for run in dict.fromkeys(job.run for job in jobs):
        if fault := scancel_fault(run):
            tell(f"scancel --name={run} failed ({fault}): its jobs are waited for, unless you cancel them")


def scancel_fault(run: str) -> str:
    """Cancel the jobs of a head; returns what went wrong, or nothing."""
    try:
        done = subprocess.run(["scancel", f"--name={run}"], capture_output=True, timeout=CANCEL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it did not answer in {CANCEL_SECONDS} seconds"
    except OSError as error:
        return error.strerror or str(error)
    complaint = " ".join(done.stderr.decode("utf-8", errors="replace").split())
    return complaint or f"exit code {done.returncode}" if done.returncode else ""


def wait_for(jobs: list[Job]) -> None:
    """Poll until none of them is in the queue; a queue that cannot be read is asked again, and said to be silent."""
    told, heard = len(jobs), time.monotonic()
    while jobs:
        time.sleep(POLL_SECONDS)
        queue = read_queue(headless=True)
        if queue.silence:
            if time.monotonic() - heard >= SILENT_SECONDS:
                heard = time.monotonic()
                tell(
                    f"Slurm's queue cannot be read ({queue.silence}): still waiting for {told} jobs, until it says "
                    "that they ended. Interrupt (Ctrl-C) to stop waiting"
                )
            continue
        jobs, heard = queue.orphans, time.monotonic()
        if jobs and len(jobs) != told:
            told = len(jobs)
            tell(f"{told} of them are left")


def tell(line: str) -> None:
    """At once, also where a pipe is read."""
    print(line, flush=True)
