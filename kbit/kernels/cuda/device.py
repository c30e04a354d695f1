"""The runner of a GPU: a kernel's program compiled for it, loaded once a process, put on torch's current stream."""

from functools import cache
from typing import TYPE_CHECKING

import torch

from kbit.kernels.cuda.jit import compile_program
from kbit.kernels.cuda.launch import Launch, Program

if TYPE_CHECKING:
    from cuda.core import Kernel

ROUNDS_OF_BLOCKS = 4
"""More blocks than run at once, so that those which end early leave no multiprocessor idle."""


def run(launch: Launch) -> None:
    """Start a kernel on the current device and stream; returns before it is done.

    UserError: cuda.core or NVRTC is not installed.
    """
    index = torch.cuda.current_device()
    kernel = load_kernel(launch.program, launch.kernel, index)
    from cuda.core import LaunchConfig, Stream
    from cuda.core import launch as start

    n_blocks = min(launch.blocks, most_blocks(launch.threads, index))
    config = LaunchConfig(grid=n_blocks, block=launch.threads, shmem_size=launch.shared_bytes)
    start(Stream.from_handle(torch.cuda.current_stream(index).cuda_stream), config, kernel, *launch.arguments)


@cache
def load_kernel(program: Program, name: str, index: int) -> "Kernel":
    """A kernel of a program on one GPU."""
    return load_program(program, index).get_kernel(name)


@cache
def load_program(program: Program, index: int):
    code = compile_program(program, arch_of(index))
    from cuda.core import Device, ObjectCode

    Device(index).set_current()
    return ObjectCode.from_cubin(code)


def arch_of(index: int) -> str:
    """Such as sm_90."""
    major, minor = torch.cuda.get_device_capability(index)
    return f"sm_{major}{minor}"


@cache
def most_blocks(threads: int, index: int) -> int:
    """Blocks of so many threads that a launch starts at most; kernels go round."""
    about = torch.cuda.get_device_properties(index)
    return about.multi_processor_count * (about.max_threads_per_multi_processor // threads) * ROUNDS_OF_BLOCKS
