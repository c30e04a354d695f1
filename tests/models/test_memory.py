"""What a job may use of its node: the least of what is free and of every limit that holds."""

from pathlib import Path

import pytest

from kbit.models.memory import host_memory_bytes

MEMINFO = "MemTotal:       24000000 kB\nMemFree:         1000000 kB\nMemAvailable:   20000000 kB\n"
FREE = 20_000_000 * 1024


@pytest.fixture
def system(tmp_path, monkeypatch) -> Path:
    """A node with 20 GB free, and a process that lies in the cgroup /slurm/job_7/step_0."""
    monkeypatch.delenv("SLURM_MEM_PER_NODE", raising=False)
    write(tmp_path / "proc/meminfo", MEMINFO)
    write(tmp_path / "proc/self/cgroup", "0::/slurm/job_7/step_0\n")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_this_node():
    assert 1e8 < host_memory_bytes() < 1e14


def test_without_limits(system):
    write(system / "sys/fs/cgroup/slurm/job_7/memory.max", "max\n")
    assert host_memory_bytes(system) == FREE


def test_the_limit_of_a_cgroup_around_it(system):
    write(system / "sys/fs/cgroup/slurm/job_7/step_0/memory.max", "max\n")
    write(system / "sys/fs/cgroup/slurm/job_7/memory.max", "8000000000\n")
    write(system / "sys/fs/cgroup/slurm/memory.max", "9000000000\n")
    assert host_memory_bytes(system) == 8e9


def test_a_container_that_sees_its_cgroup_as_the_root(system):
    write(system / "sys/fs/cgroup/memory.max", "7000000000\n")
    assert host_memory_bytes(system) == 7e9


def test_cgroups_of_version_1(system):
    write(system / "proc/self/cgroup", "5:cpu,cpuacct:/elsewhere\n4:memory:/slurm/job_7\n")
    write(system / "sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", "6000000000\n")
    write(system / "sys/fs/cgroup/memory/memory.limit_in_bytes", str(2**63 - 4096))
    assert host_memory_bytes(system) == 6e9


@pytest.mark.parametrize(("megabytes", "expected"), [("4096", 2**32), ("0", FREE), ("4000000", FREE)])
def test_what_slurm_states(system, monkeypatch, megabytes, expected):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", megabytes)
    assert host_memory_bytes(system) == expected


def test_where_the_system_does_not_say(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_MEM_PER_NODE", raising=False)
    assert host_memory_bytes(tmp_path) > 1e8
