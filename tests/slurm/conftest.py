import os

import pytest
from clone import Clone
from lab import Lab, running_lab


@pytest.fixture(scope="session")
def session_lab(require):
    """The cluster, once per test session; skipped where Slurm is not installed."""
    require("slurm")
    if os.geteuid() != 0:
        refuse = pytest.fail if "slurm" in os.environ.get("KBIT_REQUIRE", "") else pytest.skip
        refuse("needs slurm, whose daemons run as root: these tests do not")
    with running_lab() as lab:
        yield lab


@pytest.fixture
def lab(session_lab: Lab):
    """The cluster with nothing running."""
    session_lab.recover()
    yield session_lab
    session_lab.recover()


@pytest.fixture(scope="session")
def local_run(tmp_path_factory) -> Clone:
    """A clone whose small study was run on this machine alone. Do not change it."""
    clone = Clone.create(tmp_path_factory.mktemp("local") / "clone")
    clone.run()
    return clone


@pytest.fixture(scope="session")
def slurm_run(session_lab: Lab, tmp_path_factory) -> Clone:
    """The same study through Slurm, from the start. Do not change it: copy it."""
    session_lab.recover()
    clone = Clone.create(tmp_path_factory.mktemp("slurm") / "clone")
    clone.set_place()
    clone.run_on_cluster()
    return clone
