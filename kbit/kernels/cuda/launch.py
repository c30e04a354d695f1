"""A kernel on its arguments: decided beside this file, one file for each .cu, and carried out by a `Runner`.

That of a GPU compiles the kernel's program and puts it on the current stream; tests have one that runs the same program
on the CPU.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kbit.kernels.cuda.tables import Tables

DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
"""As in values.cuh."""
VECTOR_BYTES = 16
THREADS = 256
"""Of a block, in most kernels."""


@dataclass(frozen=True)
class Program:
    """A file of kbit/kernels/cuda under its macros."""

    file: str
    macros: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Launch:
    """One kernel on its arguments."""

    program: Program
    kernel: str
    blocks: int
    """Blocks of threads that would do all in one round; a runner may start fewer, the kernel goes round."""
    threads: int
    shared_bytes: int
    arguments: tuple[int | np.generic, ...]
    """Pointers as int, numbers as the numpy type of the parameter."""


Runner = Callable[[Launch], None]


def program(file: str, tables: Tables, dtype: torch.dtype) -> Program:
    macros = {"KBIT_BITS": tables.bits, "KBIT_USE_CELLS": int(tables.use_cells), "KBIT_DTYPE": DTYPES[dtype]}
    return Program(file, tuple(sorted(macros.items())))


def log2(block_size: int) -> int:
    """Its binary logarithm, -1 if that is no whole number."""
    return block_size.bit_length() - 1 if block_size & (block_size - 1) == 0 else -1


def aligned(weight: Tensor) -> Tensor:
    """Contiguous, at an address that 16-byte vectors can be read from; itself where it is so."""
    contiguous = weight.contiguous()
    return contiguous if contiguous.data_ptr() % VECTOR_BYTES == 0 else contiguous.clone()
