"""Slurm jobs that an earlier head left behind: they go on, and nobody waits for them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kbit.upkeep.finding import Finding
from kbit.upkeep.slurm import Job, read_queue

JOBS_SHOWN = 20


def check(_named: Sequence[Path]) -> Iterator[Finding]:
    queue = read_queue()
    if queue.silence:
        yield Finding("note", f"runs in this folder used Slurm, whose queue is unknown: {queue.silence}")
        return
    if cared := len(queue.jobs) - len(queue.orphans):
        yield Finding("ok", f"{cared} Slurm jobs of the run that is at work")
    for run in sorted(queue.by_hand & {job.run for job in queue.jobs}):
        yield Finding(
            "note",
            f"{count_of(run, queue.jobs)} Slurm jobs of a snakemake that was started by hand, run id {run}",
            f"if it died, `kbit run` waits for all of them and goes on; or cancel them all: scancel --name {run}",
        )
    for job in queue.lost[:JOBS_SHOWN]:
        yield Finding(
            "problem",
            f"Slurm job {job.id} ({job.comment or 'no comment'}) has lost its head: {job.state.lower()}, {job.elapsed}",
            f"wait for it (its cells are kept), or: scancel {job.id}",
        )
    for run in dict.fromkeys(job.run for job in queue.lost):
        yield Finding(
            "problem",
            f"{count_of(run, queue.jobs)} Slurm jobs of the lost head {run}",
            f"`kbit run` waits for all of them and goes on; or cancel them all: scancel --name {run}",
        )


def count_of(run: str, jobs: Iterable[Job]) -> int:
    return sum(job.run == run for job in jobs)
