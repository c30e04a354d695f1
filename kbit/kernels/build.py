"""The C++ form of the kernels: compiled where it runs, once for each kind of processor, and kept in the user's cache.

A plain shared library, built in seconds by whatever C++ compiler there is and loaded in milliseconds: no header of
torch and none of Python, so that it fits every release of them.
"""

import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent / "cpu"
FLAGS = ("-std=c++17", "-O3", "-shared", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
"""Every product and sum is rounded by itself, as torch's are. The last two change no result; vectors need them."""
THIS_PROCESSOR = "-march=native"
COMPILERS = ("c++", "g++", "clang++")
PREFIX = "kernels-"
KEPT = 16
"""Libraries in the cache: of processors that share a home, and of releases of kbit."""
TIMEOUT_SECONDS = 300


class BuildError(Exception):
    """The library could not be built; the message says why, in one line."""


def find_compiler() -> list[str] | None:
    """The command of the C++ compiler: CXX if that is set, else the first on the PATH. None: there is none."""
    named = shlex.split(os.environ.get("CXX", ""))
    if named:
        return named if shutil.which(named[0]) else None
    return next(([path] for path in map(shutil.which, COMPILERS) if path), None)


def cache_folder() -> Path:
    """Where libraries are kept; perhaps not there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kbit" / "kernels"


def library_name() -> str:
    """Says all that makes the machine code what it is, but for the compiler: any gives the same results."""
    digest = hashlib.sha256(repr((FLAGS, platform.system(), platform.machine(), instruction_sets())).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + source.read_bytes())
    return f"{PREFIX}{digest.hexdigest()[:16]}.so"


@cache
def instruction_sets() -> str:
    """What the processor understands, as Linux tells it; elsewhere its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def is_trusted(path: Path) -> bool:
    """Whether nobody else can have put code of theirs there."""
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def make_folder(folder: Path) -> bool:
    """Make the cache's folder; whether libraries can be kept there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return False
    return is_trusted(folder) and os.access(folder, os.W_OK)


def build(target: Path) -> None:
    """Compile the library. BuildError: there is no compiler, or it refuses."""
    compiler = find_compiler()
    if compiler is None:
        raise BuildError(f"no C++ compiler: {os.environ.get('CXX') or ', '.join(COMPILERS)} not found (set CXX)")
    sources = [str(source) for source in sorted(SOURCES.glob("*.cpp"))]
    # Some compilers have another word for the processor they run on; their default will do then.
    for tuning in ([THIS_PROCESSOR], []):
        command = [*compiler, *FLAGS, *tuning, *sources, "-o", str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"{compiler[0]}: {error}") from None
        if done.returncode == 0:
            return
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    raise BuildError(f"{compiler[0]}: {next((line for line in lines if 'error' in line), lines[-1])}")


def new_file(folder: Path) -> Path:
    """For a library that is being built: processes do not meet, and `tidy` knows what a killed one left."""
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=PREFIX, suffix=".new")
    os.close(descriptor)
    return Path(name)


def tidy(folder: Path) -> None:
    """Remove all but the newest libraries."""
    ages = []
    for path in folder.glob(f"{PREFIX}*"):
        try:
            ages.append((path.stat().st_mtime, path))
        except FileNotFoundError:
            continue  # another process tidies too
    for _, path in sorted(ages)[:-KEPT]:
        path.unlink(missing_ok=True)
