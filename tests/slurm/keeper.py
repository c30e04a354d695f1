"""The process that owns the test cluster: starts every daemon, and ends them all when its standard input closes.

    python keeper.py FOLDER PORT      then lines on standard input: `kill n1` (the node vanishes), `start n1`

Standard input closes when the tests are over, fail, are interrupted or are killed, so nothing outlives them: daemons
run in the foreground as children, and what they detach (job steps) comes back to this process, their subreaper.
Answers are lines on standard output: `up`, `done`, or `failed: ...`.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab_files import ACCOUNT, DATABASE_USER, GROUPS, LIMITED_NODE, LabFiles, nodes

PR_SET_CHILD_SUBREAPER = 36
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
"""Snakemake's job steps drop SLURM_CONF from the environment, so clients in them look here."""
SECONDS_TO_START = 60
SECONDS_TO_END = 15
SECONDS_BETWEEN_REAPS = 1


class Keeper:
    """The daemons of one cluster."""

    def __init__(self, files: LabFiles) -> None:
        self.files = files
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def up(self) -> None:
        """Start everything, in the order in which they need one another."""
        self.files.write()
        link_conf(self.files.slurm_conf)
        self.start_munge()
        self.start_sql()
        self.start("slurmdbd", "slurmdbd", "-D")
        self.wait_for("slurmdbd", lambda: succeeds("sacctmgr", "-n", "show", "cluster"))
        for entity in (["cluster", "lab"], ["account", ACCOUNT], ["user", "root", f"account={ACCOUNT}"]):
            call("sacctmgr", "--immediate", "add", *entity)
        self.start("slurmctld", "slurmctld", "-D", "-L", str(self.files.log("slurmctld")))
        for node in nodes():
            self.start_node(node)
        self.wait_for("the nodes", all_idle)

    def start_munge(self) -> None:
        folder = self.files.root / "munge"
        paths = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        options = [f"--{option}={folder / name}" for option, name in paths.items()]
        self.start("munged", "munged", "--foreground", "--force", *options)
        self.wait_for("munged", self.files.munge_socket.exists)

    def start_sql(self) -> None:
        data = f"--datadir={self.files.root / 'sql'}"
        # Databases of one test session: no safety against power cuts is paid for.
        call("mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db", data)
        options = [
            *("--user=root", "--skip-log-bin", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"),
            *("--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"),
            *(f"--socket={self.files.sql_socket}", f"--port={self.files.sql_port}"),
            f"--pid-file={self.files.root / 'run/sql.pid'}",
        ]
        self.start("mariadbd", "mariadbd", "--no-defaults", data, *options)
        client = ("mariadb", "--no-defaults", f"--socket={self.files.sql_socket}", "-e")
        self.wait_for("mariadbd", lambda: succeeds(*client, "select 1"))
        users = ", ".join(f"'{DATABASE_USER}'@'{host}'" for host in ("localhost", "127.0.0.1"))
        created = users.replace(",", f" identified by '{DATABASE_USER}',") + f" identified by '{DATABASE_USER}'"
        call(*client, f"create user {created}; grant all on slurm_accounting.* to {users}")

    def start_node(self, node: str) -> None:
        conf = self.files.limited_conf if node == LIMITED_NODE else self.files.slurm_conf
        self.start(node, "slurmd", "-D", "-N", node, "-f", str(conf), "-L", str(self.files.log(node)))

    def kill_node(self, node: str) -> None:
        """End a node as a power cut would: slurmd, its job steps and all their processes, no goodbye."""
        steps = [pid for pid in descendants(os.getpid()) if is_step_of(pid, self.files.spool(node))]
        daemon = self.daemons.pop(node)
        victims = {daemon.pid, *steps, *(child for step in steps for child in descendants(step))}
        kill(victims)
        daemon.wait()

    def reap_steps(self) -> None:
        """Take note of the ends of job steps: their accounting looks at every process there is, dead ones too."""
        own = {daemon.pid for daemon in self.daemons.values()}
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for pid in {int(child) for child in children} - own:
            os.waitpid(pid, os.WNOHANG)

    def start(self, name: str, *command: str) -> None:
        with self.files.log(f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_for(self, what: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while not is_ready():
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise RuntimeError(f"{what} not ready ({', '.join(dead) or 'nothing'} died): {self.last_lines()}")
            time.sleep(0.1)

    def last_lines(self) -> str:
        logs = sorted(self.files.root.glob("log/*.log"))
        ends = {log.name: log.read_text(errors="replace").splitlines()[-2:] for log in logs}
        return "; ".join(f"{name}: {' | '.join(lines)}" for name, lines in ends.items() if lines)

    def down(self) -> None:
        """End all daemons and whatever they left running, and take back the link in the system's folder."""
        deadline = time.monotonic() + SECONDS_TO_END
        # In the opposite order of their start, as each still talks to the one before it when it ends.
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in reversed(self.daemons.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(max(0, deadline - time.monotonic()))
        while alive := descendants(os.getpid()):
            kill(alive)
            reap()
            time.sleep(0.05)
        reap()
        remove_groups(LIMITED_NODE)
        unlink_conf(self.files.slurm_conf)


def link_conf(conf: Path) -> None:
    """RuntimeError if this machine has a Slurm of its own."""
    if SYSTEM_CONF.exists() or (SYSTEM_CONF.is_symlink() and SYSTEM_CONF.readlink().name != conf.name):
        raise RuntimeError(f"{SYSTEM_CONF} exists: this machine has a Slurm that is not the tests'")
    SYSTEM_CONF.parent.mkdir(exist_ok=True)
    # One that dangles was left by a keeper that was killed.
    SYSTEM_CONF.unlink(missing_ok=True)
    SYSTEM_CONF.symlink_to(conf)


def unlink_conf(conf: Path) -> None:
    if SYSTEM_CONF.is_symlink() and SYSTEM_CONF.readlink() == conf:
        SYSTEM_CONF.unlink()


def remove_groups(node: str) -> None:
    """The control groups that a slurmd leaves behind; one that some process is in stays."""
    for top in GROUPS.glob(f"*/slurm_{node}"):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def call(*command: str) -> None:
    """RuntimeError with what the command said if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout} {done.stderr}")


def succeeds(*command: str) -> bool:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def all_idle() -> bool:
    command = ("sinfo", "-h", "-N", "-t", "idle", "-o", "%N")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return set(done.stdout.split()) == set(nodes())


def descendants(root: int) -> list[int]:
    """Processes below `root`, parents before children."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents():
        children.setdefault(parent, []).append(pid)
    found = list(children.get(root, []))
    for pid in found:
        found += children.get(pid, [])
    return found


def parents() -> Iterator[tuple[int, int]]:
    """(process, its parent) of every process that still runs."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name may hold spaces and brackets; state and parent follow its last bracket.
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    yield int(folder.name), int(parent)


def is_step_of(pid: int, spool: Path) -> bool:
    """Whether a process is a step daemon of the node with this spool folder: it listens on a socket in it."""
    try:
        links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        inodes = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}
        sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    except OSError:
        return False
    return any(len(line) > 7 and line[6] in inodes and line[7].startswith(f"{spool}/") for line in sockets)


def kill(pids: set[int] | list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def serve(keeper: Keeper) -> None:
    """Do what standard input says, until it ends; meanwhile, reap the job steps that ended."""
    verbs = {"kill": keeper.kill_node, "start": keeper.start_node}
    while line := next_line(keeper):
        verb, node = line.split()
        try:
            verbs[verb](node)
            print("done", flush=True)
        except (OSError, LookupError) as error:
            print(f"failed: {error!r}", flush=True)


def next_line(keeper: Keeper) -> str:
    """Of standard input; empty at its end. Lines come one by one, so none waits in the buffer."""
    while not select.select([sys.stdin], [], [], SECONDS_BETWEEN_REAPS)[0]:
        keeper.reap_steps()
    return sys.stdin.readline()


def main() -> None:
    files = LabFiles(Path(sys.argv[1]), int(sys.argv[2]))
    os.environ["SLURM_CONF"] = str(files.slurm_conf)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # An interrupted test session closes our standard input; that alone ends us, and in order.
        # A handler, as daemons and jobs would inherit SIG_IGN.
        signal.signal(number, lambda *_: None)
    keeper = Keeper(files)
    try:
        keeper.up()
        print("up", flush=True)
        serve(keeper)
    except RuntimeError as error:
        print(f"failed: {' '.join(str(error).split())}", flush=True)
    finally:
        keeper.down()
        shutil.rmtree(files.root, ignore_errors=True)


if __name__ == "__main__":
    main()
