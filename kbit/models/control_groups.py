"""What the kernel says of the memory control groups (cgroups, version 1 or 2) around this process. Imports no torch.

Inside a container, or where /sys is not mounted, part of the tree or all of it is out of sight: then nothing is said.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NO_LIMIT = 2**60
"""Version 1 writes a number near 2**63 where nothing is limited."""


@dataclass(frozen=True, slots=True)
class Version:
    """Where a version keeps a group's files, below /sys/fs/cgroup."""

    mount: str
    limit: str
    events: str
    """The file with a line `oom_kill N`."""


VERSIONS = {
    "": Version("", "memory.max", "memory.events"),
    "memory": Version("memory", "memory.limit_in_bytes", "memory.oom_control"),
}
"""By the controllers of a line of /proc/self/cgroup; version 2 names none."""


def memory_limits(system: Path = Path("/")) -> Iterator[float]:
    """Bytes that this process's group may hold, and those around it, whose limits hold as well.

    system: the root of /proc and /sys.
    """
    for version, folders in own_groups(system):
        for folder in folders:
            text = read(folder / version.limit)
            if text.isdecimal() and int(text) < NO_LIMIT:
                yield float(text)


def count_oom_kills(system: Path = Path("/")) -> int:
    """How many processes of this process's group the kernel has killed for want of memory; 0 where it does not say."""
    count = 0
    for version, folders in own_groups(system):
        texts = (read(folder / version.events) for folder in folders)
        # Of the groups in sight the innermost: where this one is out of sight, a container shows its own as the root.
        innermost = next(filter(None, texts), "")
        counts = dict(line.split(maxsplit=1) for line in innermost.splitlines())
        count += int(counts.get("oom_kill", 0))
    return count


def own_groups(system: Path) -> Iterator[tuple[Version, list[Path]]]:
    """The folders of this process's group and of those around it, from the inside out, for each version."""
    for line in read(system / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if version := VERSIONS.get(controllers):
            inner = Path(path.lstrip("/"))
            yield version, [system / "sys/fs/cgroup" / version.mount / folder for folder in (inner, *inner.parents)]


def read(file: Path) -> str:
    """The text, without blanks around it; nothing where there is no such file."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
