"""What `kbit.kernels.ops` and `packed_ops` run for tensors on an NVIDIA GPU. Arguments are checked there."""

from functools import lru_cache

import torch
from torch import Tensor

from kbit.kernels import backends
from kbit.kernels.cuda import fake_quantize as fake
from kbit.kernels.cuda import gemv, packed
from kbit.kernels.cuda.device import run
from kbit.kernels.cuda.tables import Tables, build_row_tables, build_tables
from kbit.kernels.reference import block_absmax

BACKEND = "cuda"
"""As rows name what quantized."""


def fake_quantize(weight: Tensor, codebook: Tensor, block_size: int, absmax_dtype: torch.dtype) -> Tensor:
    backends.record(BACKEND)
    with torch.cuda.device(weight.device):
        return fake.fake_quantize(weight, tables_of(codebook), block_size, absmax_dtype, run)


def fake_quantize_scaled(
    weight: Tensor, codebook: Tensor, scale: Tensor, offset: Tensor | None, block_size: int
) -> Tensor:
    backends.record(BACKEND)
    scale, offset = scale.contiguous(), None if offset is None else offset.contiguous()
    with torch.cuda.device(weight.device):
        if codebook.dim() == 2:
            return fake.fake_quantize_rows(weight, build_row_tables(codebook), scale, offset, block_size, run)
        return fake.fake_quantize_scaled(weight, tables_of(codebook), scale, offset, block_size, run)


def quantize_pack(
    weight: Tensor, codebook: Tensor, bits: int, block_size: int, absmax_dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    backends.record(BACKEND)
    with torch.cuda.device(weight.device):
        tables = tables_of(codebook, bits)
        if packed.has_fused_absmax(block_size):
            return packed.quantize_pack(weight, tables, block_size, absmax_dtype, run)
        absmax = block_absmax(weight, block_size).to(absmax_dtype)
        return packed.quantize_pack_scaled(weight, tables, absmax.float(), None, block_size, run), absmax


def quantize_pack_scaled(
    weight: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int
) -> Tensor:
    backends.record(BACKEND)
    scale, offset = scale.contiguous(), None if offset is None else offset.contiguous()
    with torch.cuda.device(weight.device):
        return packed.quantize_pack_scaled(weight, tables_of(codebook, bits), scale, offset, block_size, run)


def unpack_dequantize(
    words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    shape: tuple[int, int], dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    scale, offset = scale.contiguous(), None if offset is None else offset.contiguous()
    output = torch.empty(shape, dtype=dtype, device=words.device)
    with torch.cuda.device(words.device):
        packed.unpack_dequantize(words.contiguous(), tables_of(codebook, bits), scale, offset, block_size, output, run)
    return output


def multiply(
    x: Tensor, words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int,
) -> Tensor:  # fmt: skip
    """ValueError: more rows than the kernel takes, or groups of codes that straddle rows or blocks."""
    if codebook.dim() == 2 or not gemv.takes(*x.shape, block_size):
        raise ValueError(
            f"gemv of x {list(x.shape)} with a codebook {list(codebook.shape)} and block_size {block_size}: it takes "
            f"1 to {gemv.MOST_ROWS} rows, one codebook, and multiples of 32 inputs and weights a block"
        )
    scale, offset = scale.contiguous(), None if offset is None else offset.contiguous()
    with torch.cuda.device(x.device):
        tables = tables_of(codebook, bits)
        return gemv.multiply(x, words.contiguous(), tables, scale, offset, block_size, n_outputs, run)


def tables_of(codebook: Tensor, bits: int | None = None) -> Tables:
    """The kernels' tables of a codebook: built once for every content, as most weights have the same one."""
    book = codebook.detach().cpu().contiguous()
    return kept_tables(book.numpy().tobytes(), bits, codebook.device)


@lru_cache(maxsize=256)
def kept_tables(book: bytes, bits: int | None, device: torch.device) -> Tables:
    return build_tables(torch.frombuffer(bytearray(book), dtype=torch.float32).to(device), bits)
