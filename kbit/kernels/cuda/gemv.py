"""How gemv.cu multiplies a few rows of activations with packed weights, and which weights it takes."""

import numpy as np
import torch
from torch import Tensor

from kbit.kernels.cuda.launch import DTYPES, THREADS, Launch, Program, Runner, aligned, log2
from kbit.kernels.cuda.tables import Tables
from kbit.kernels.packing import CODES_PER_GROUP

FILE = "gemv.cu"
MOST_ROWS = 4
ROWS_PER_BLOCK = THREADS // 32
QUAD, QUAD_STRIDE = 128, 132
MOST_GROUPS = (1 << 32) - 1
"""Of a block, as the kernel counts them; a matrix has fewer."""
SHARED_FLOATS = (48 << 10) // 4
"""What a launch may have without asking for more."""


def takes(n_rows: int, n_inputs: int, block_size: int) -> bool:
    """Whether the kernel can: few rows, and groups of 32 codes that lie in one row and one block of it."""
    return 1 <= n_rows <= MOST_ROWS and n_inputs % CODES_PER_GROUP == 0 and block_size % CODES_PER_GROUP == 0


def multiply(
    x: Tensor, words: Tensor, tables: Tables, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int, run: Runner,
) -> Tensor:  # fmt: skip
    """x [rows, in] @ W^T -> [rows, out] in the dtype of x; sums are fp32, products of level * scale not rounded.

    words i32 [out * in / 32 * K] of W [out, in]; scale fp32, fp16 or bf16 [blocks]; offset f32 [blocks] or None.
    `takes` must be true.
    """
    n_rows, n_inputs = x.shape
    source = aligned(x)
    y = torch.empty(n_rows, n_outputs, dtype=x.dtype, device=x.device)
    levels, n_groups = 2**tables.bits, min(block_size // CODES_PER_GROUP, MOST_GROUPS)
    chunk = inputs_at_once(n_rows, n_inputs, levels)
    macros = {
        "KBIT_BITS": tables.bits, "KBIT_DTYPE": DTYPES[x.dtype], "KBIT_HAS_OFFSET": int(offset is not None),
        "KBIT_ROWS": n_rows,
    }  # fmt: skip
    arguments = (
        source.data_ptr(), words.data_ptr(), scale.data_ptr(), np.int32(DTYPES[scale.dtype]),
        0 if offset is None else offset.data_ptr(), np.int64(n_groups), np.int32(log2(n_groups)),
        tables.words.data_ptr(), y.data_ptr(),
        np.int32(n_inputs), np.int32(n_outputs), np.int32(chunk),
    )  # fmt: skip
    shared_bytes = 4 * (levels + n_rows * chunk // QUAD * QUAD_STRIDE)
    blocks = -(-n_outputs // ROWS_PER_BLOCK)
    run(Launch(Program(FILE, tuple(sorted(macros.items()))), "gemv", blocks, THREADS, shared_bytes, arguments))
    return y


def inputs_at_once(n_rows: int, n_inputs: int, levels: int) -> int:
    """Inputs of each row that shared memory holds, a multiple of QUAD; all of them where they fit."""
    room = (SHARED_FLOATS - levels) // (n_rows * QUAD_STRIDE)
    return min(room, -(-n_inputs // QUAD)) * QUAD
