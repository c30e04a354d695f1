"""Which kernels of fake_quantize.cu do the work of `kbit.kernels.ops`, and on what."""

import numpy as np
import torch
from torch import Tensor

from kbit.kernels.cuda.launch import DTYPES, THREADS, VECTOR_BYTES, Launch, Runner, aligned, log2, program
from kbit.kernels.cuda.tables import Tables

FILE = "fake_quantize.cu"
WARP = 32
ABSMAX_THREADS = 512
MOST_VECTORS = 8
"""Of a block, in the registers of one thread."""
PIECE_VECTORS = 8


def fake_quantize(weight: Tensor, tables: Tables, block_size: int, absmax_dtype: torch.dtype, run: Runner) -> Tensor:
    """`kbit.kernels.ops.fake_quantize`, with the codebook's tables."""
    source = aligned(weight)
    output = torch.empty_like(source)
    n_weights = source.numel()
    if not n_weights:
        return output
    if block_size >= n_weights:
        scale = find_absmax(source, tables, run).to(absmax_dtype).float()
        return fake_quantize_scaled(source, tables, scale, None, block_size, run)
    own = program(FILE, tables, weight.dtype)
    lanes, vectors = lanes_and_vectors(block_size, source.element_size())
    n_in_vectors = n_weights // block_size * block_size if lanes else 0
    if n_in_vectors:
        n_blocks = n_in_vectors // block_size
        arguments = (
            source.data_ptr(), output.data_ptr(), np.int64(n_blocks), np.int32(lanes), np.int32(DTYPES[absmax_dtype]),
            tables.words.data_ptr(),
        )  # fmt: skip
        blocks = -(-n_blocks * lanes // THREADS)
        run(Launch(own, f"blocks_{vectors}", blocks, THREADS, tables.shared_bytes, arguments))
    rest = n_weights - n_in_vectors
    if rest:
        begin = n_in_vectors * source.element_size()
        arguments = (
            source.data_ptr() + begin, output.data_ptr() + begin, np.int64(rest), np.int64(block_size),
            np.int32(DTYPES[absmax_dtype]), tables.words.data_ptr(),
        )  # fmt: skip
        run(Launch(own, "strips", -(-rest // block_size), THREADS, tables.shared_bytes, arguments))
    return output


def lanes_and_vectors(block_size: int, element_size: int) -> tuple[int, int]:
    """Neighbouring threads that share a block, and 16-byte vectors of each; (0, 0) if a block does not split so."""
    vectors, rest = divmod(block_size * element_size, VECTOR_BYTES)
    if rest or vectors & (vectors - 1) or not 1 <= vectors <= WARP * MOST_VECTORS:
        return 0, 0
    lanes = min(vectors, WARP)
    return lanes, vectors // lanes


def find_absmax(source: Tensor, tables: Tables, run: Runner) -> Tensor:
    """The largest magnitude of a contiguous, aligned weight, f32 [1]."""
    absmax = torch.zeros(1, dtype=torch.float32, device=source.device)
    n_vectors = source.numel() * source.element_size() // VECTOR_BYTES
    arguments = (source.data_ptr(), np.int64(source.numel()), absmax.data_ptr())
    own = program(FILE, tables, source.dtype)
    run(Launch(own, "absmax_of_all", max(-(-n_vectors // ABSMAX_THREADS), 1), ABSMAX_THREADS, 0, arguments))
    return absmax


def fake_quantize_scaled(
    weight: Tensor, tables: Tables, scale: Tensor, offset: Tensor | None, block_size: int, run: Runner
) -> Tensor:
    """`kbit.kernels.ops.fake_quantize_scaled` for one codebook, with its tables."""
    source = aligned(weight)
    output = torch.empty_like(source)
    n_weights = source.numel()
    if not n_weights:
        return output
    piece = THREADS * PIECE_VECTORS * (VECTOR_BYTES // source.element_size())
    arguments = (
        source.data_ptr(), output.data_ptr(), np.int64(n_weights), np.int64(block_size), np.int32(log2(block_size)),
        scale.data_ptr(), 0 if offset is None else offset.data_ptr(), tables.words.data_ptr(),
    )  # fmt: skip
    kernel = "given" if offset is None else "given_with_offsets"
    own = program(FILE, tables, weight.dtype)
    run(Launch(own, kernel, -(-n_weights // piece), THREADS, tables.shared_bytes, arguments))
    return output


def fake_quantize_rows(
    weight: Tensor, tables: Tables, scale: Tensor, offset: Tensor | None, block_size: int, run: Runner
) -> Tensor:
    """`kbit.kernels.ops.fake_quantize_scaled` for a codebook for each row, with the tables of the rows."""
    source = aligned(weight)
    output = torch.empty_like(source)
    n_rows, width = source.shape
    if source.numel():
        arguments = (
            source.data_ptr(), output.data_ptr(), np.int64(n_rows), np.int64(width), np.int64(block_size),
            np.int32(log2(block_size)), scale.data_ptr(), 0 if offset is None else offset.data_ptr(),
            tables.words.data_ptr(),
        )  # fmt: skip
        shared_bytes = 4 * (2 << tables.bits)
        run(Launch(program(FILE, tables, weight.dtype), "rows", n_rows, THREADS, shared_bytes, arguments))
    return output
