"""Fake quantization by the C++ form of the kernels, kbit/kernels/cpu: bit for bit the reference's result."""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_int, c_int64, c_void_p
from pathlib import Path

import torch
from torch import Tensor

from kbit.kernels import blockwise, reference

DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
"""As kbit/kernels/cpu/values.h numbers them."""
LARGEST_FUSED_BLOCK = 1 << 16
"""Larger blocks are cut among threads, so their absmax must be known before."""
THREAD_WEIGHTS = 1 << 18
"""For fewer, another thread is not worth its start."""

BLOCKS = (c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_int, c_void_p, c_void_p, c_int)
TARGET = (c_void_p, c_int64)
SCALED = (
    *(c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64),
    *(c_void_p, c_void_p, c_int64, c_void_p, c_void_p, c_int),
)


class Library:
    """The functions of a built library. OSError: the file is none."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self.fake_quantize_blocks = declare(library.kbit_fake_quantize, BLOCKS)
        self.fake_quantize_ranges = declare(library.kbit_fake_quantize_scaled, SCALED)
        self.prepare_target = declare(library.kbit_prepare_target, TARGET)

    def fake_quantize(self, weight: Tensor, codebook: Tensor, block_size: int, absmax_dtype: torch.dtype) -> Tensor:
        """Equals `reference.fake_quantize`, whose docstring states shapes and dtypes. On the CPU."""
        source = weight.contiguous()
        if block_size > LARGEST_FUSED_BLOCK:
            scale = blockwise.block_absmax(source.view(-1), block_size).to(absmax_dtype).float()
            return self.fake_quantize_scaled(source, codebook, scale, None, block_size)
        target, codebook = self.new_target(source), codebook.contiguous()
        thresholds = reference.midpoints(codebook)
        places = (DTYPES[weight.dtype], source.data_ptr(), target.data_ptr())
        book = (DTYPES[absmax_dtype], codebook.data_ptr(), thresholds.data_ptr(), len(codebook))
        in_ranges(
            source.numel(),
            block_size,
            lambda begin, end: self.fake_quantize_blocks(*places, begin, end, block_size, *book),
        )
        return target

    def fake_quantize_scaled(
        self, weight: Tensor, codebook: Tensor, scale: Tensor, offset: Tensor | None, block_size: int
    ) -> Tensor:
        """Equals `reference.fake_quantize_scaled`, whose docstring states shapes and dtypes. On the CPU."""
        source = weight.contiguous()
        target, codebook, scale = self.new_target(source), codebook.contiguous(), scale.contiguous()
        offset = None if offset is None else offset.contiguous()
        thresholds = ((codebook[..., 1:] + codebook[..., :-1]) * 0.5).contiguous()
        width = weight.shape[-1] if codebook.dim() == 2 else 0
        places = (DTYPES[weight.dtype], source.data_ptr(), target.data_ptr())
        scales = (scale.data_ptr(), 0 if offset is None else offset.data_ptr())
        book = (width, codebook.data_ptr(), thresholds.data_ptr(), codebook.shape[-1])
        in_ranges(
            source.numel(),
            width or 1,
            lambda begin, end: self.fake_quantize_ranges(*places, begin, end, block_size, *scales, *book),
        )
        return target

    def new_target(self, source: Tensor) -> Tensor:
        """Memory for what is made of a contiguous tensor, of its shape and dtype, all of which will be written."""
        target = torch.empty_like(source)
        self.prepare_target(target.data_ptr(), target.nbytes)
        return target


def declare(function: Callable, arguments: tuple[type, ...]) -> Callable:
    function.argtypes, function.restype = arguments, None
    return function


def in_ranges(n_weights: int, granule: int, work: Callable[[int, int], None]) -> None:
    """Call work(begin, end) for ranges that cover 0 to n_weights, in as many threads as torch may use.

    Ranges begin at a multiple of the granule. The calls let go of Python's lock.
    """
    n_threads = max(min(torch.get_num_threads(), n_weights // THREAD_WEIGHTS), 1)
    step = max(-(-n_weights // n_threads // granule) * granule, granule)
    ranges = [(begin, min(begin + step, n_weights)) for begin in range(0, n_weights, step)]
    if len(ranges) <= 1:
        for begin, end in ranges:
            work(begin, end)
        return
    with ThreadPoolExecutor(len(ranges)) as pool:
        for done in [pool.submit(work, begin, end) for begin, end in ranges]:
            done.result()
