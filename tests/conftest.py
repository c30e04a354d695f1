"""What every test stands on: no network, one thread, and needs that are skipped aloud or, on CI, not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping

import pytest

# Before anything imports torch or a Hugging Face library: they read these once.
# A cache of its own, because data sets cached by an earlier run would hide what this one builds.
_HUB_CACHE = tempfile.TemporaryDirectory(prefix="kbit-test-hub-")
os.environ.update(
    HF_HOME=_HUB_CACHE.name,
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
)

# Optional needs of tests: for each, groups of programs of which one must be on the PATH.
NEEDS: dict[str, list[tuple[str, ...]]] = {
    "browser": [("chromium", "chromium-browser", "google-chrome")],
    "compiler": [("g++", "c++", "clang++")],
    "slurm": [("slurmctld",), ("slurmd",), ("sbatch",), ("munged",), ("slurmdbd",), ("mariadbd",)],
    "gpu": [("nvidia-smi",)],
}


def required_needs(environment: Mapping[str, str]) -> set[str]:
    """The needs named in KBIT_REQUIRE (comma-separated); an unknown one stops the run before any test."""
    names = {name.strip() for name in environment.get("KBIT_REQUIRE", "").split(",")} - {""}
    if unknown := sorted(names - NEEDS.keys()):
        raise pytest.UsageError(f"KBIT_REQUIRE names {', '.join(unknown)}; known needs are {', '.join(NEEDS)}")
    return names


def find_need(name: str, required: Collection[str]) -> str:
    """Path of the need's first program. Missing: the test is skipped, or fails if KBIT_REQUIRE names the need."""
    found = [next(filter(None, map(shutil.which, group)), None) for group in NEEDS[name]]
    missing = [" or ".join(group) for group, path in zip(NEEDS[name], found, strict=True) if path is None]
    if not missing:
        return str(found[0])
    reason = f"needs {name}: {', '.join(missing)} not on the PATH"
    if name in required:
        pytest.fail(f"{reason}, and KBIT_REQUIRE names it", pytrace=False)
    pytest.skip(reason)


def pytest_configure() -> None:
    required_needs(os.environ)


@pytest.fixture(scope="session")
def require() -> Callable[[str], str]:
    """`require("browser")` returns the program's path, or skips the test with the reason (see NEEDS)."""
    required = required_needs(os.environ)
    return lambda name: find_need(name, required)
