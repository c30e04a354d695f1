"""Where a baseline keeps its hidden states: in memory, or in a file that nobody has to clean up."""

import resource
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from kbit.evaluation.baseline import make_room
from kbit.spec.errors import UserError


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def maps_of(folder) -> list[str]:
    """The lines of this process's memory map that name a file of the folder."""
    return [line for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines() if str(folder) in line]


@pytest.mark.usefixtures("scratch")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("host_bytes", [2**20, 0], ids=["memory", "file"])
def test_what_is_written_is_read(dtype, host_bytes):
    values = torch.randn(300, 48, generator=torch.Generator().manual_seed(0)).to(dtype)
    room = make_room(300, 48, dtype, host_bytes)
    room[:] = values
    assert torch.equal(room, values)
    assert room.dtype == dtype


def test_states_above_the_limit_lie_in_a_file_that_has_no_name(scratch):
    room = make_room(300, 48, torch.float32, host_bytes=300 * 48 * 4 - 1)
    assert [line.split()[-1] for line in maps_of(scratch)] == ["(deleted)"]
    assert list(scratch.iterdir()) == []
    del room
    assert maps_of(scratch) == []


@contextmanager
def files_of_at_most(n_bytes):
    """As a full disk would, the system refuses to let a file grow."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_folder_without_room_is_said_in_one_line(scratch):
    with (
        files_of_at_most(2**16),
        pytest.raises(UserError, match=r"^4\.0 GB of hidden states do not fit into .* \(set TMPDIR"),
    ):
        make_room(10_000_000, 100, torch.float32, host_bytes=0)
    assert list(scratch.iterdir()) == []
