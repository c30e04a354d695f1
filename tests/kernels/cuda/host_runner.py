"""The CUDA programs as libraries for this machine's processor, and a runner that launches their kernels there."""

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np

from kbit.kernels.cuda import read_source
from kbit.kernels.cuda.launch import Launch, Program

FOLDER = Path(__file__).parent
# No contraction, as on the GPU: a product is rounded before it is compared or added to.
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-Wno-unknown-pragmas")
SIGNATURE = re.compile(r'extern "C" __global__ void\s+__launch_bounds__\([^)]*\)\s+(\w+)\(([^)]*)\)')
BLOCKS_KERNEL = re.compile(r"^BLOCKS_KERNEL\((\d+)\)", re.MULTILINE)
CTYPES = {np.int32: ctypes.c_int32, np.int64: ctypes.c_int64}
MOST_BLOCKS = 7
"""Fewer than most launches ask for, so that kernels go round."""


class HostRunner:
    """Compiles each program once and runs every launch of it, thread by thread."""

    def __init__(self, folder: Path, compiler: str) -> None:
        self.folder, self.compiler = folder, compiler
        self.libraries: dict[Program, ctypes.CDLL] = {}
        self.kernels: list[str] = []
        """Names of the kernels launched so far."""

    def __call__(self, launch: Launch) -> None:
        assert launch.shared_bytes <= 48 << 10, "what a launch may have without asking for more"
        kernel = getattr(self.library(launch.program), f"run_{launch.kernel}")
        values = [
            ctypes.c_void_p(value) if isinstance(value, int) else CTYPES[type(value)](int(value))
            for value in launch.arguments
        ]
        self.kernels.append(launch.kernel)
        kernel(min(launch.blocks, MOST_BLOCKS), launch.threads, *values)

    def library(self, program: Program) -> ctypes.CDLL:
        if program not in self.libraries:
            name = "-".join([program.file, *(str(value) for _, value in program.macros)])
            source = self.folder / f"{name}.cpp"
            source.write_text(on_host(read_source(program.file, dict(program.macros))))
            target = source.with_suffix(".so")
            subprocess.run([self.compiler, *FLAGS, f"-I{FOLDER}", str(source), "-o", str(target)], check=True)
            self.libraries[program] = ctypes.CDLL(str(target))
        return self.libraries[program]


def on_host(source: str) -> str:
    """The program with the emulation before it and, after it, a function run_KERNEL(blocks, threads, ...) each."""
    signatures = [(name, arguments) for name, arguments in SIGNATURE.findall(source) if "##" not in name]
    runs = [run_function(name, arguments) for name, arguments in signatures]
    if pattern := re.search(r"blocks_##VECTORS\(([^)]*)\)", source):
        runs += [run_function(f"blocks_{n}", pattern[1].replace("\\\n", " ")) for n in BLOCKS_KERNEL.findall(source)]
    return '#include "emulation.hpp"\n' + source + "\n".join(runs)


def run_function(name: str, arguments: str) -> str:
    names = ", ".join(re.findall(r"(\w+)\s*(?:,|$)", arguments))
    return (
        f'extern "C" void run_{name}(unsigned blocks, unsigned threads, {arguments}) {{\n'
        f"    emulation::run(blocks, threads, [=] {{ {name}({names}); }});\n}}\n"
    )
