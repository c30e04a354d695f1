"""Jobs of this results folder in Slurm's queue: told by the name that their head gave them.

The executor of Snakemake for Slurm gives all jobs of a head one name, the head's run id, which stands in the head's
log; rule and wildcards stand in a job's comment. Nothing here waits: `squeue` that does not answer is no answer.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kbit.store.head import run_is_alive
from kbit.store.paths import RESULTS
from kbit.upkeep.inventory import modified

SNAKEMAKE_LOCKS = Path(".snakemake/locks")
RUN_ID = re.compile(rb"SLURM run ID: ([A-Za-z0-9_-]+)")
HEAD_BYTES = 1 << 17
"""Of a log that are searched: the id is written before the first job."""
MOST_RUNS = 50
"""Heads that are asked for, the latest."""
QUEUE_SECONDS = 10
FORMAT = "%i|%T|%M|%j|%r|%k"
ACTIVE = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED")


@dataclass(frozen=True, slots=True)
class Job:
    """One line of squeue."""

    id: str
    state: str
    elapsed: str
    run: str
    """The run id of its head."""
    reason: str
    """Why it is pending."""
    comment: str
    """rule_<rule>_wildcards_<values, joined by underscores>."""

    @property
    def runs(self) -> bool:
        return self.state in ACTIVE


@dataclass(frozen=True, slots=True)
class Queue:
    """What squeue said."""

    jobs: Sequence[Job] = ()
    silence: str = ""
    """Why it said nothing; empty if it did, or if no head ever used Slurm."""
    current: str = ""
    """Run id of the head that is alive, if it uses Slurm."""

    by_hand: frozenset[str] = frozenset()
    """Run ids of heads that `kbit run` did not start, while Snakemake's lock is there: alive or dead, nobody knows."""

    @property
    def orphans(self) -> list[Job]:
        """Jobs whose head is not known to live."""
        return [job for job in self.jobs if job.run != self.current]

    @property
    def lost(self) -> list[Job]:
        """Orphans whose head is known to be gone."""
        return [job for job in self.orphans if job.run not in self.by_hand]


def read_queue(headless: bool = False) -> Queue:
    """The jobs that heads of this results folder have in Slurm's queue.

    headless: whoever holds the folder has submitted nothing yet, so every job is an orphan.
    """
    runs = run_ids([*kbit_logs(), *Path(".snakemake/log").glob("*.log")])
    if not runs:
        return Queue()
    current = "" if headless or not run_is_alive() else next(iter(run_ids(kbit_logs()[:1])), "")
    if shutil.which("squeue") is None:
        return Queue(silence="squeue is not on the PATH of this machine", current=current)
    by_hand = frozenset(runs) - frozenset(run_ids(kbit_logs())) if any(SNAKEMAKE_LOCKS.glob("*.lock")) else frozenset()
    try:
        return Queue(ask_queue(runs), current=current, by_hand=by_hand)
    except SilentQueueError as silence:
        return Queue(silence=str(silence), current=current)


class SilentQueueError(Exception):
    """squeue gave no answer that can be read; the message says why."""


def ask_queue(runs: Sequence[str]) -> list[Job]:
    """The queue's jobs of these run ids. SilentQueueError if squeue fails, hangs, or says something else."""
    command = ["squeue", "--noheader", f"--name={','.join(runs)}", f"--format={FORMAT}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=QUEUE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise SilentQueueError(f"squeue did not answer in {QUEUE_SECONDS} seconds") from None
    except OSError as error:
        raise SilentQueueError(f"squeue cannot be run: {error.strerror}") from None
    # A comment, or what a site's wrapper adds, may be of any bytes.
    said, complaint = (text.decode("utf-8", errors="replace") for text in (done.stdout, done.stderr))
    if done.returncode != 0:
        raise SilentQueueError(f"squeue: {' '.join(complaint.split()) or f'exit code {done.returncode}'}")
    jobs = parse_queue(said)
    if said.strip() and not jobs:
        raise SilentQueueError(f"squeue answered with no list of jobs: {' '.join(said.split())[:80]!r}")
    return jobs


def kbit_logs() -> list[Path]:
    """Logs of heads that `kbit run` started, the latest first."""
    return sorted((RESULTS / "studies").glob("*/logs/*.log"), key=modified, reverse=True)


def parse_queue(text: str) -> list[Job]:
    return [Job(*line.split("|", 5)) for line in text.splitlines() if line.count("|") >= 5]


def run_ids(logs: Iterable[Path]) -> list[str]:
    """Run ids of the heads that used Slurm, the latest first."""
    found: dict[str, None] = {}
    for log in sorted(logs, key=modified, reverse=True):
        if len(found) == MOST_RUNS:
            break
        if match := RUN_ID.search(beginning(log)):
            found[match[1].decode("ascii")] = None
    return list(found)


def beginning(log: Path) -> bytes:
    try:
        with log.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:
        return b""
