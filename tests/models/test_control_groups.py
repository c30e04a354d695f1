"""What control groups say, as the two versions write it; their limits are tested in test_memory.py."""

from pathlib import Path

import pytest

from kbit.models.control_groups import count_oom_kills, memory_limits

V1, V2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"


@pytest.fixture
def write(tmp_path):
    def write(file: str, text: str) -> Path:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
        return tmp_path

    return write


def test_version_1_counts_in_the_group_of_the_process(write):
    write("proc/self/cgroup", "5:cpu,cpuacct:/elsewhere\n4:memory:/slurm/job_7/task_0\n")
    write(f"{V1}/slurm/job_7/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 9\n")
    system = write(f"{V1}/slurm/job_7/task_0/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert count_oom_kills(system) == 2


def test_a_kernel_that_does_not_count_kills(write):
    write("proc/self/cgroup", "4:memory:/slurm\n")
    assert count_oom_kills(write(f"{V1}/slurm/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n")) == 0


def test_version_2(write):
    write("proc/self/cgroup", "0::/slurm/job_7\n")
    write(f"{V2}/slurm/job_7/memory.events", "low 0\nhigh 0\nmax 8\noom 1\noom_kill 1\noom_group_kill 0\n")
    assert count_oom_kills(write(f"{V2}/slurm/memory.events", "oom_kill 5\n")) == 1


def test_a_container_shows_its_group_as_the_root(write):
    write("proc/self/cgroup", "0::/slurm/job_7\n")
    assert count_oom_kills(write(f"{V2}/memory.events", "oom_kill 4\n")) == 4


def test_nothing_in_sight(write, tmp_path):
    assert count_oom_kills(tmp_path) == 0
    system = write("proc/self/cgroup", "9:name=systemd:/\n4:memory:/slurm\n0::/\n")
    assert count_oom_kills(system) == 0
    assert list(memory_limits(system)) == []


def test_no_limit_is_no_number(write):
    write("proc/self/cgroup", "4:memory:/slurm\n")
    write(f"{V1}/memory.limit_in_bytes", "9223372036854771712\n")
    assert list(memory_limits(write(f"{V1}/slurm/memory.limit_in_bytes", "1048576\n"))) == [2.0**20]


def test_this_process():
    assert count_oom_kills() >= 0
