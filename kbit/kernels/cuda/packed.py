"""Which kernels of packed.cu quantize and pack a weight, or unpack and dequantize it, and on what."""

import numpy as np
import torch
from torch import Tensor

from kbit.kernels.cuda.launch import DTYPES, THREADS, Launch, Runner, aligned, log2, program
from kbit.kernels.cuda.tables import Tables
from kbit.kernels.packing import CODES_PER_GROUP, count_words

FILE = "packed.cu"
MOST_LANES = 32


def quantize_pack(
    weight: Tensor, tables: Tables, block_size: int, absmax_dtype: torch.dtype, run: Runner
) -> tuple[Tensor, Tensor]:
    """weight [out, in] -> its words i32 [count_words(n, K)], and the absmax of each block, absmax_dtype [blocks].

    block_size: a power of two from 32 to 1024; other blocks have their absmax found first, and `quantize_pack_scaled`.
    """
    source = aligned(weight)
    n_weights = source.numel()
    words = torch.empty(count_words(n_weights, tables.bits), dtype=torch.int32, device=source.device)
    absmax = torch.empty(-(-n_weights // block_size), dtype=absmax_dtype, device=source.device)
    if n_weights:
        arguments = (
            source.data_ptr(), words.data_ptr(), absmax.data_ptr(), np.int64(n_weights),
            np.int32(block_size // CODES_PER_GROUP), np.int32(DTYPES[absmax_dtype]), tables.words.data_ptr(),
        )  # fmt: skip
        run(launch("pack_blocks", weight, tables, arguments))
    return words, absmax


def has_fused_absmax(block_size: int) -> bool:
    """Whether `quantize_pack` takes such blocks."""
    lanes, rest = divmod(block_size, CODES_PER_GROUP)
    return not rest and lanes & (lanes - 1) == 0 and 1 <= lanes <= MOST_LANES


def quantize_pack_scaled(
    weight: Tensor, tables: Tables, scale: Tensor, offset: Tensor | None, block_size: int, run: Runner
) -> Tensor:
    """weight [out, in] in blocks with scales, and offsets or None, f32 [blocks] -> words i32 [count_words(n, K)]."""
    source = aligned(weight)
    n_weights = source.numel()
    words = torch.empty(count_words(n_weights, tables.bits), dtype=torch.int32, device=source.device)
    if n_weights:
        arguments = (
            source.data_ptr(), words.data_ptr(), np.int64(n_weights), np.int64(block_size), np.int32(log2(block_size)),
            scale.data_ptr(), 0 if offset is None else offset.data_ptr(), tables.words.data_ptr(),
        )  # fmt: skip
        run(launch("pack_given", weight, tables, arguments))
    return words


def unpack_dequantize(
    words: Tensor, tables: Tables, scale: Tensor, offset: Tensor | None, block_size: int, output: Tensor, run: Runner
) -> None:
    """words i32 [count_words(n, K)], scale fp32, fp16 or bf16 [blocks], offset f32 [blocks] or None -> into output.

    output [out, in] fp32, fp16 or bf16: contiguous, at a multiple of 16 bytes.
    """
    if output.numel():
        arguments = (
            words.data_ptr(), output.data_ptr(), np.int64(output.numel()), np.int64(block_size),
            np.int32(log2(block_size)), scale.data_ptr(), np.int32(DTYPES[scale.dtype]),
            0 if offset is None else offset.data_ptr(), tables.words.data_ptr(),
        )  # fmt: skip
        run(launch("unpack", output, tables, arguments))


def launch(kernel: str, weight: Tensor, tables: Tables, arguments: tuple[int | np.generic, ...]) -> Launch:
    """A thread for each group of codes."""
    n_groups = -(-weight.numel() // CODES_PER_GROUP)
    own = program(FILE, tables, weight.dtype)
    return Launch(own, kernel, -(-n_groups // THREADS), THREADS, tables.shared_bytes, arguments)
