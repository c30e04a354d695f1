"""Slurm jobs that a dead head left behind, before the next one starts: waited for, or cancelled.

They go on by themselves and their cells are kept; but a new head would submit the same shards beside them.
"""

import subprocess
import time

from kbit.spec.errors import choice_error
from kbit.upkeep.slurm import Job, read_queue

CHOICES = ("wait", "cancel")
POLL_SECONDS = 15


def check_choice(choice: str) -> None:
    """UserError for a word that `--orphans` does not take."""
    if choice not in CHOICES:
        raise choice_error("--orphans", choice, CHOICES, "option of kbit run")


def settle_orphans(choice: str) -> None:
    """Return when Slurm has no job left of an earlier head of this results folder. The caller holds the folder."""
    queue = read_queue(headless=True)
    if queue.silence:
        print(f"Slurm's queue is unknown ({queue.silence}): jobs of an earlier run, if any, go on beside this one")
        return
    jobs = queue.orphans
    if not jobs:
        return
    if choice == "cancel":
        print(f"{len(jobs)} Slurm jobs of an earlier run are cancelled; the cells they finished are kept", flush=True)
        cancel(jobs)
    else:
        print(
            f"{len(jobs)} Slurm jobs of an earlier run are not done: this one waits for them, then goes on with what "
            "is missing (--orphans cancel cancels them instead)",
            flush=True,
        )
    wait_for(jobs)


def cancel(jobs: list[Job]) -> None:
    for run in dict.fromkeys(job.run for job in jobs):
        subprocess.run(["scancel", f"--name={run}"], check=False)


def wait_for(jobs: list[Job]) -> None:
    """Poll until none of them is in the queue; a queue that cannot be read is asked again."""
    told = len(jobs)
    while jobs:
        time.sleep(POLL_SECONDS)
        queue = read_queue(headless=True)
        if queue.silence:
            continue
        jobs = queue.orphans
        if jobs and len(jobs) != told:
            told = len(jobs)
            print(f"{told} of them are left", flush=True)
