"""Python, and the packages that kbit needs, against the versions that were tested (requirements.lock)."""

import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import kbit
from kbit.upkeep.finding import Finding

LOCK = Path(kbit.__file__).parents[1] / "requirements.lock"
OLDEST = (3, 11)


def check(_named: Sequence[Path]) -> Iterator[Finding]:
    python = platform.python_version()
    if sys.version_info < OLDEST:
        yield Finding("problem", f"Python {python}", f"use Python {'.'.join(map(str, OLDEST))} or newer")
    else:
        yield Finding("ok", f"kbit {kbit.__version__}, Python {python}, {platform.system()} {platform.machine()}")
    yield from compare(needed_packages(), locked_versions(LOCK))


def compare(needed: Sequence[str], locked: Mapping[str, str]) -> Iterator[Finding]:
    """Installed versions of what kbit needs against the tested ones."""
    other = []
    for name in needed:
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            yield Finding("problem", f"the package {name} is not installed", f"pip install {name}")
            continue
        if locked.get(name, installed) != installed:
            other.append(f"{name} {installed} (tested: {locked[name]})")
    if other:
        yield Finding("note", f"packages of other versions than were tested: {', '.join(other)}")
    elif locked:
        yield Finding("ok", f"all {len(needed)} packages are of the tested versions")


def needed_packages() -> list[str]:
    """Names of what kbit cannot do without, extras left out."""
    lines = [line for line in requires("kbit") or () if "extra ==" not in line]
    return sorted(plain(re.split(r"[ ;<>=!~\[(]", line, maxsplit=1)[0]) for line in lines)


def locked_versions(lock: Path) -> dict[str, str]:
    """Package -> version; empty where kbit was installed without its checkout."""
    if not lock.exists():
        return {}
    pairs = (line.strip().partition("==") for line in lock.read_text(encoding="utf-8").splitlines())
    return {plain(name): number for name, equals, number in pairs if equals}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
