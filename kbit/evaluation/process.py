"""One worker process: started, fed its job, listened to, and never left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from kbit.evaluation.gpus import planned_alone
from kbit.evaluation.offline import OFFLINE
from kbit.spec.notes import NOTE

PREFIX = "kbit: "
"""Of a worker's one line of error."""
GRACE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker ended."""

    code: int
    """Exit code; minus the signal's number if a signal ended it."""
    last_line: str
    """The last line it wrote to standard error, without `kbit: `; notes do not count."""

    @property
    def words(self) -> str:
        if self.code < 0:
            return f"was ended by signal {-self.code} ({signal.strsignal(-self.code)})"
        return f"ended with exit code {self.code}"


def run_process(command: Sequence[str], job: Mapping[str, object]) -> Ending:
    """Run a worker to its end. SIGTERM to this process ends the worker too, then raises SystemExit.

    What the worker writes to standard error is passed on, but for its one line of error: that is the caller's to tell.
    """
    environment = os.environ | environment_for(job)
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process,
        ended_at_exit(process),
        termination_raised(),
    ):
        # The pipe stays open behind the job: its end tells the worker that this process is gone.
        with suppress(BrokenPipeError):
            send(process.stdin.fileno(), json.dumps(job).encode() + b"\n")
        lines = deque(pass_on(process), maxlen=1)
        return Ending(process.wait(), lines[0] if lines else "it said nothing")


def send(pipe: int, content: bytes) -> None:
    # Unbuffered, so that nothing is left to flush, and to fail again, when the pipe is closed.
    while content:
        content = content[os.write(pipe, content) :]


def environment_for(job: Mapping[str, object]) -> dict[str, str]:
    """Threads are set before torch starts its pools; planned GPUs alone are visible; nothing goes to the network."""
    threads = str(job["threads"])
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
        **planned_alone(job.get("gpus", 0)),
        **OFFLINE,
    }


def pass_on(process: subprocess.Popen) -> Iterator[str]:
    """The worker's lines of standard error, as they come."""
    for raw in process.stderr:
        line = raw.decode(errors="replace").rstrip()
        if not line.startswith(PREFIX):
            print(line, file=sys.stderr, flush=True)
        if line and not line.startswith(NOTE):
            yield line.removeprefix(PREFIX)


@contextmanager
def ended_at_exit(process: subprocess.Popen) -> Iterator[None]:
    """Whatever ends this block ends the process."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def termination_raised() -> Iterator[None]:
    """SIGTERM (Slurm at the time limit, Snakemake at the end of its patience) raises SystemExit(143) here."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread alone
        return
    previous = signal.signal(signal.SIGTERM, raise_exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def raise_exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
