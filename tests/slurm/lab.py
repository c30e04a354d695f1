"""A real Slurm on this machine for as long as the tests need it: three nodes with two fake GPUs each, and accounting.

The daemons belong to a process of their own (keeper.py), which outlives no test session, however that ends.
"""

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab_files import LabFiles, nodes

KEEPER = Path(__file__).with_name("keeper.py")
LOCK = Path(tempfile.gettempdir()) / "kbit-test-slurm.lock"
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}


class Lab:
    """The cluster that is up."""

    def __init__(self, files: LabFiles, keeper: subprocess.Popen[str]) -> None:
        self.files = files
        self.keeper = keeper

    def call(self, *command: str) -> str:
        """Standard output of a Slurm command; like a user's, it finds the cluster by the system's configuration."""
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def kill_node(self, node: str) -> None:
        """The node vanishes, with all that runs on it."""
        self.tell("kill", node)

    def start_node(self, node: str) -> None:
        self.tell("start", node)

    def tell(self, verb: str, node: str) -> None:
        self.keeper.stdin.write(f"{verb} {node}\n")
        self.keeper.stdin.flush()
        answer = self.keeper.stdout.readline().strip()
        assert answer == "done", answer

    def all_idle(self) -> bool:
        return set(self.call("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split()) == set(nodes())

    def recover(self) -> None:
        """End every job, so that the next test finds the cluster as the first did."""
        self.call("scancel", "--quiet", "--user", "root")
        self.wait_for(lambda: not self.call("squeue", "-h"), 30)
        self.wait_for(self.all_idle, 30)

    def jobs(self, *job_ids: str) -> list[dict[str, str]]:
        """What accounting knows of jobs, one entry per start of a job."""
        fields = "JobIDRaw,State,ReqMem,Timelimit,ReqTRES,NodeList,Partition,Comment"
        output = self.call("sacct", "-X", "--duplicates", "-P", "-n", "-o", fields, "-j", ",".join(job_ids))
        return [dict(zip(fields.split(","), line.split("|"), strict=True)) for line in output.splitlines()]

    @staticmethod
    def wait_for(condition, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            time.sleep(0.2)


@contextmanager
def one_lab() -> Iterator[None]:
    """One cluster on a machine at a time, as the system's configuration can name only one; waits for another's end."""
    with LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def running_lab() -> Iterator[Lab]:
    """A cluster that is up; RuntimeError if it does not come up."""
    with ExitStack() as stack:
        stack.enter_context(one_lab())
        # Not in pytest's folder: the paths of sockets are at most 107 bytes long.
        files = LabFiles(Path(tempfile.mkdtemp(prefix="kbit-slurm-")), free_ports(len(nodes()) + 3))
        files.root.chmod(0o755)
        keeper = subprocess.Popen(
            [sys.executable, str(KEEPER), str(files.root), str(files.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # An interrupt from the terminal goes to the tests, which end the keeper in their own time.
            start_new_session=True,
        )
        stack.enter_context(keeper)  # closes its standard input, and waits for it
        answer = keeper.stdout.readline().strip()
        if answer != "up":
            raise RuntimeError(f"the cluster did not come up: {answer}")
        yield Lab(files, keeper)


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    for first in range(20000 + os.getpid() % 10000, 60000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError(f"no {count} free ports in a row")
