"""Running heads for the full-grid bench: their time, their memory, and what Slurm's accounting says of their jobs."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from keeper import descendants

POLL_SECONDS = 0.1
TICK = 1 / os.sysconf("SC_CLK_TCK")
SUBMITTED = "has been submitted with SLURM jobid"
FIELDS = ("JobIDRaw", "State", "Submit", "Start", "End", "ElapsedRaw", "TotalCPU", "Comment")


@dataclass
class Run:
    """A command that has ended, with all it started and waited for."""

    code: int
    wall_seconds: float
    cpu_seconds: float
    """User and system."""
    memory_mb: float
    """Peak of the largest of its processes."""


class HeadMemory:
    """Peak resident memory of a head: `kbit run` and the Snakemake below it, but for the processes of local rules."""

    def __init__(self) -> None:
        self.peaks: dict[int, int] = {}
        self.peak = 0
        """Bytes at most of those that lived at the same time, each with its peak until then."""

    def poll(self, head: int) -> None:
        alive = {}
        for pid in (head, *children(head)):
            # A process that is about to end has no memory left to tell of.
            with suppress(OSError, IndexError):
                text = Path(f"/proc/{pid}/status").read_text()
                alive[pid] = int(text.partition("VmHWM:")[2].split()[0]) * 1024
        self.peaks |= alive
        self.peak = max(self.peak, sum(alive.values()))


def run_timed(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    output: Path,
    poll: Callable[[int], None] | None = None,
) -> Run:
    """Run a command, its output into a file; `poll` is called with its process id ten times a second."""
    began = time.monotonic()
    with output.open("ab") as stream:
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        try:
            usage = wait(process, poll)
        finally:
            if process.returncode is None:
                process.terminate()
                process.wait()
    seconds = time.monotonic() - began
    return Run(process.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def wait(process: subprocess.Popen, poll: Callable[[int], None] | None) -> object:
    """The resources a process and its children used."""
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG if poll else 0)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage
        poll(process.pid)
        time.sleep(POLL_SECONDS)


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


class FirstSubmission:
    """The CPU-seconds of a head, with all its processes, when it submits its first job."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.earlier = set(logs.glob("*.log"))
        self.cpu_seconds: float | None = None

    def poll(self, head: int) -> None:
        if self.cpu_seconds is None and any(
            SUBMITTED in log.read_text(errors="replace") for log in set(self.logs.glob("*.log")) - self.earlier
        ):
            self.cpu_seconds = sum(cpu_seconds(pid) for pid in (head, *descendants(head)))


def cpu_seconds(pid: int) -> float:
    """Of a process and those of its children that have ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    # The name may hold spaces and brackets; utime, stime, cutime and cstime are the 12th to 15th field after it.
    return TICK * sum(map(int, text.rpartition(")")[2].split()[11:15]))


@dataclass(frozen=True)
class Job:
    """A Slurm job that has ended, by accounting."""

    id: str
    state: str
    submit: int
    """Unix seconds, as the next two."""
    start: int
    end: int
    seconds: float
    """From start to end."""
    cpu_seconds: float
    """Of all its steps' processes, user and system; the step daemons not counted."""
    rule: str
    key: str
    """Of its shard, for a job that evaluates."""


def accounted_jobs() -> list[Job]:
    """All jobs of the cluster, in the order of submission."""
    command = ["sacct", "--duplicates", "-P", "-n", "-a", "-S", "now-2days", "-o", ",".join(FIELDS)]
    environment = {**os.environ, "SLURM_TIME_FORMAT": "%s"}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return sorted(parse_jobs(output.splitlines()), key=lambda job: (job.submit, int(job.id)))


def parse_jobs(lines: Sequence[str]) -> list[Job]:
    """Each job's line is followed by those of its steps, which alone know the CPU time."""
    jobs: list[Job] = []
    for line in lines:
        entry = parse_job(line)
        if "." in entry.id:
            jobs[-1] = replace(jobs[-1], cpu_seconds=jobs[-1].cpu_seconds + entry.cpu_seconds)
        else:
            jobs.append(replace(entry, cpu_seconds=0.0))
    return jobs


def parse_job(line: str) -> Job:
    number, state, submit, start, end, seconds, cpu, comment = line.split("|", len(FIELDS) - 1)
    rule, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
    submit, start, end = (int(text) if text.isdigit() else 0 for text in (submit, start, end))
    return Job(number, state.split()[0], submit, start, end, float(seconds), parse_duration(cpu), rule, wildcards[-12:])


def parse_duration(text: str) -> float:
    """Seconds of Slurm's [DD-[HH:]]MM:SS[.mmm]."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = 60 * seconds + float(part)
    return 86400 * int(days or 0) + seconds


def submission_rate(jobs: Sequence[Job]) -> float | None:
    """Jobs submitted per second in the longest run of submissions without a pause; accounting tells whole seconds."""
    bursts: list[list[Job]] = []
    for job in jobs:
        if bursts and job.submit - bursts[-1][-1].submit <= 2:
            bursts[-1].append(job)
        else:
            bursts.append([job])
    longest = max(bursts, key=len, default=[])
    span = longest[-1].submit - longest[0].submit if longest else 0
    return len(longest) / (span + 1) if len(longest) > 1 else None
