import pytest
from workspace import Workspace


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A workspace whose small study has been run to the end, once per test session. Do not change it: copy it."""
    workspace = Workspace.create(tmp_path_factory.mktemp("finished") / "clone")
    workspace.run()
    return workspace


@pytest.fixture
def workspace(finished, tmp_path):
    """A copy of the finished workspace to change at will."""
    return finished.copy_to(tmp_path / "clone")
