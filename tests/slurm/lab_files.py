"""The configuration of the cluster that the tests start: everything on loopback, everything below one folder."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NODES = ("n1", "n2", "n3")
LIMITED_NODE = "n4"
"""A node whose jobs lie in control groups; it is there only where this machine has them."""
GPUS_PER_NODE = 2
GPU_MODEL = "fake"
CPUS_PER_NODE = 4
MEMORY_PER_NODE_MB = 8000
ACCOUNT = "study"
PARTITION = "gpu"
SCAVENGE = "scavenge"
"""A partition whose jobs are requeued when a job of PARTITION wants their room."""
LIMITED = "limited"
"""The partition of LIMITED_NODE alone."""
DATABASE_USER = "slurm"
GROUPS = Path("/sys/fs/cgroup")


@cache
def has_control_groups() -> bool:
    """Whether slurmd could make control groups of version 1 here, that limit memory and say so when a process dies."""
    return can_make_group("freezer", "freezer.state", "") and can_make_group(
        "memory", "memory.oom_control", "oom_kill "
    )


def can_make_group(controller: str, file: str, content: str) -> bool:
    """Whether a group can be made, and its file has that in it."""
    group = GROUPS / controller / f"kbit-test-{os.getpid()}"
    try:
        group.mkdir()
        try:
            return content in (group / file).read_text()
        finally:
            group.rmdir()
    except OSError:
        return False


def nodes() -> tuple[str, ...]:
    """Those of the cluster on this machine."""
    return (*NODES, LIMITED_NODE) if has_control_groups() else NODES


@dataclass(frozen=True, slots=True)
class LabFiles:
    """Where the daemons' files lie, and on which ports they listen."""

    root: Path
    port: int
    """First of free ports, one for each node and three more."""

    @property
    def slurm_conf(self) -> Path:
        return self.root / "etc/slurm.conf"

    @property
    def limited_conf(self) -> Path:
        """What the slurmd of LIMITED_NODE reads instead."""
        return self.root / "limited/slurm.conf"

    @property
    def munge_socket(self) -> Path:
        return self.root / "munge/socket"

    @property
    def sql_socket(self) -> Path:
        return self.root / "sql.sock"

    @property
    def database_port(self) -> int:
        return self.port + 1

    @property
    def sql_port(self) -> int:
        return self.port + 2

    def log(self, daemon: str) -> Path:
        return self.root / f"log/{daemon}.log"

    def spool(self, node: str) -> Path:
        return self.root / f"spool/{node}"

    def write(self) -> None:
        """Make the folders, the key, the fake GPUs and the configuration files."""
        spools = [f"spool/{node}" for node in nodes()]
        for name in ("etc", "limited", "log", "state", "dev", "munge", "run", *spools):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        # munge refuses a key, a socket or a log that others could touch.
        (self.root / "munge").chmod(0o700)
        key = self.root / "munge/key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        for gpu in range(GPUS_PER_NODE):
            # slurmd counts only character devices as GPUs; this one is the null device.
            os.mknod(self.root / f"dev/gpu{gpu}", 0o20666, os.makedev(1, 3))
        self.slurm_conf.write_text(self.cluster() + POLLING + self.nodes())
        self.limited_conf.write_text(self.cluster() + CONTROL_GROUPS + self.nodes())
        self.limited_conf.with_name("cgroup.conf").write_text(CGROUP_CONF)
        for conf in (self.slurm_conf, self.limited_conf):
            conf.with_name("gres.conf").write_text(self.gpus())
        database = self.root / "etc/slurmdbd.conf"
        database.touch(mode=0o600)
        database.write_text(self.database())

    def cluster(self) -> str:
        """slurm.conf without its nodes; the timers are those of a test, not of a production cluster."""
        return f"""ClusterName=lab
SlurmctldHost={socket.gethostname().partition(".")[0]}(127.0.0.1)
SlurmctldPort={self.port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# cred_expire: so long a requeued job cannot start
AuthInfo=socket={self.munge_socket},cred_expire=5
StateSaveLocation={self.root}/state
SlurmdSpoolDir={self.root}/spool/%n
SlurmctldPidFile={self.root}/run/slurmctld.pid
SlurmdPidFile={self.root}/run/slurmd.%n.pid
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
# nodes may state more processors and memory than this machine has
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
KillWait=2
SlurmdTimeout=10
MessageTimeout=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={self.database_port}
# for munge, this "password" is a socket
AccountingStoragePass={self.munge_socket}
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
"""

    def nodes(self) -> str:
        """The nodes and the partitions of slurm.conf; every node is a slurmd of its own on this host.

        Jobs that may go anywhere go to the first node with room.
        """
        host = socket.gethostname().partition(".")[0]
        shape = f"CPUs={CPUS_PER_NODE} Boards=1 SocketsPerBoard=1 CoresPerSocket={CPUS_PER_NODE} ThreadsPerCore=1"
        shape += f" RealMemory={MEMORY_PER_NODE_MB} Gres=gpu:{GPU_MODEL}:{GPUS_PER_NODE} State=UNKNOWN"
        address = f"NodeHostname={host} NodeAddr=127.0.0.1"
        lines = [
            f"NodeName={node} {address} Port={self.port + 2 + place} {shape} Weight={place}"
            for place, node in enumerate(nodes(), start=1)
        ]
        common = "MaxTime=1-0 DefaultTime=10 State=UP"
        lines += [
            f"PartitionName={PARTITION} Nodes={','.join(NODES)} Default=YES PriorityTier=10 PreemptMode=OFF {common}",
            f"PartitionName={SCAVENGE} Nodes={','.join(NODES)} PriorityTier=1 PreemptMode=REQUEUE {common}",
        ]
        if has_control_groups():
            lines.append(f"PartitionName={LIMITED} Nodes={LIMITED_NODE} PriorityTier=10 PreemptMode=OFF {common}")
        return "\n".join(lines) + "\n"

    def gpus(self) -> str:
        devices = f"{self.root}/dev/gpu[0-{GPUS_PER_NODE - 1}]"
        return "".join(f"NodeName={node} Name=gpu Type={GPU_MODEL} File={devices}\n" for node in nodes())

    def database(self) -> str:
        """slurmdbd.conf."""
        return f"""DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={self.database_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={self.munge_socket}
LogFile={self.log("slurmdbd")}
PidFile={self.root}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={self.sql_port}
StorageUser={DATABASE_USER}
StoragePass={DATABASE_USER}
StorageLoc=slurm_accounting
"""


POLLING = """ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# --mem is enforced by polling, no control groups needed
JobAcctGatherParams=OverMemoryKill
"""
CONTROL_GROUPS = """ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
"""
"""--mem is the limit of a control group, in which the kernel ends a process."""
CGROUP_CONF = f"""CgroupPlugin=cgroup/v1
CgroupMountpoint={GROUPS}
CgroupAutomount=no
ConstrainRAMSpace=yes
AllowedSwapSpace=0
"""
