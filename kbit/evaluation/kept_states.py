"""Room for hidden states on the host: in memory up to a limit, above it in a temporary file that no death leaves."""

import os
from mmap import mmap
from tempfile import TemporaryFile, gettempdir

import torch

from kbit.spec.errors import UserError

HOST_STATE_BYTES = 2**29
"""Of one task's states in memory; a job asks for more than this beside its weights (`kbit.plan.cost`)."""


def make_room(n: int, width: int, dtype: torch.dtype, host_bytes: int = HOST_STATE_BYTES) -> torch.Tensor:
    """[n, width] of undefined values on the CPU: in memory if they take at most `host_bytes`, else in a file.

    UserError: the folder for temporary files has no room.
    """
    n_bytes = n * width * dtype.itemsize
    if n_bytes <= host_bytes:
        return torch.empty(n, width, dtype=dtype)
    return torch.frombuffer(map_file(n_bytes), dtype=dtype).view(n, width)


def map_file(n_bytes: int) -> mmap:
    """A file without a name in the folder for temporary files (TMPDIR): the system frees it with the last map."""
    try:
        with TemporaryFile(prefix="kbit-states-") as file:
            reserve(file.fileno(), n_bytes)
            return mmap(file.fileno(), n_bytes)
    except OSError as error:
        raise UserError(
            f"no room for {n_bytes / 1e9:.3g} GB of hidden states (divergence) in {gettempdir()}: {error.strerror}; "
            "TMPDIR names another folder"
        ) from error


def reserve(descriptor: int, n_bytes: int) -> None:
    """Take the space now: a full disk met later, while writing to the map, would end the process with SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, n_bytes)
    else:  # macOS
        os.ftruncate(descriptor, n_bytes)
