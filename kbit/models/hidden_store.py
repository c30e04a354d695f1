"""The hidden states of all batches of a pass, in host memory or, above a limit, in a temporary file.

The file lies where TMPDIR says: on a disk of the node, not in a `/tmp` that is memory itself. Its name is removed as
soon as it is mapped, so that nothing is left behind however the process ends.
"""

import math
import os
import tempfile
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from kbit.models.pinned import pin
from kbit.spec.errors import UserError

ALIGNMENT = 64
"""Bytes; where fresh tensors of torch begin, so that kernels find stored states as they find computed ones."""


class HiddenStore:
    """A place for the hidden states of every batch."""

    def __init__(
        self, shapes: Sequence[tuple[int, ...]], dtype: torch.dtype, limit_bytes: float, is_pinned: bool
    ) -> None:
        """shapes: of each batch's hidden states. limit_bytes: more than this goes to a file. is_pinned: a GPU is to
        read and write them; a file is never pinned. UserError if the file does not fit.
        """
        self.shapes = list(shapes)
        n_bytes = [math.prod(shape) * dtype.itemsize for shape in shapes]
        starts = [0, *accumulate(-(-count // ALIGNMENT) * ALIGNMENT for count in n_bytes)]
        self.is_file = starts[-1] > limit_bytes
        arena = map_temporary_file(starts[-1]) if self.is_file else torch.empty(starts[-1], dtype=torch.uint8)
        if is_pinned and not self.is_file and starts[-1]:
            pin(arena, owner=self)
        self._states = [
            arena[start : start + count].view(dtype).view(shape)
            for start, count, shape in zip(starts, n_bytes, shapes, strict=False)
        ]

    def __len__(self) -> int:
        return len(self._states)

    def __getitem__(self, index: int) -> Tensor:
        """States of a batch [rows, length, width], to be read and written in place."""
        return self._states[index]


def map_temporary_file(n_bytes: int) -> Tensor:
    """uint8 [n_bytes] in a file without a name. UserError if the disk has no room for all of it."""
    with tempfile.NamedTemporaryFile(prefix="kbit-hidden-states-") as file:
        try:
            reserve(file.fileno(), n_bytes)
        except OSError as error:
            raise UserError(
                f"{n_bytes / 1e9:.1f} GB of hidden states do not fit into {tempfile.gettempdir()} (set TMPDIR to a "
                f"folder on a larger disk, or give the job more memory): {error.strerror}"
            ) from error
        return torch.from_file(file.name, shared=True, size=n_bytes, dtype=torch.uint8)


def reserve(file: int, n_bytes: int) -> None:
    """Make room now: a mapped page that finds the disk full ends the process without a word."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, n_bytes)
    else:
        os.truncate(file, n_bytes)
