"""The kernels as machine code of GPUs that are not there: what NVRTC makes of them, read with NVIDIA's disassemblers.

By default a dozenth of all instances, which holds every width for every architecture; KBIT_ALL_CUBINS=1 compiles all.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from instances import every_instance, sample_instances

from kbit.kernels.cuda import jit
from kbit.kernels.cuda.launch import Program

pytest.importorskip("cuda.core", reason="needs cuda.core and NVRTC: make cuda")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NVRTC is there for Linux")

INSTANCES = every_instance() if os.environ.get("KBIT_ALL_CUBINS") else sample_instances()
RESOURCES = re.compile(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
STREAMING = {
    "blocks_1": ("LDG", "STG"), "blocks_2": ("LDG", "STG"), "blocks_4": ("LDG", "STG"), "blocks_8": ("LDG", "STG"),
    "given": ("LDG", "STG"), "given_with_offsets": ("LDG", "STG"), "absmax_of_all": ("LDG",), "pack_blocks": ("LDG",),
    "pack_given": ("LDG",), "unpack": ("STG",), "gemv": ("LDG",),
}  # fmt: skip
"""Kernels that weights pass through -> what moves 16 bytes at a time in them. Codes leave and come by way of shared
memory, where a warp's words lie side by side."""
MOST_REGISTERS = 128
"""Of a thread: two blocks of 256 threads fit a multiprocessor's 65,536."""


def tool(name: str) -> str:
    """A program that came with cuda's extra, or is on the PATH."""
    import nvidia

    for folder in nvidia.__path__:
        if found := next(Path(folder).glob(f"*/bin/{name}"), None):
            return str(found)
    return shutil.which(name) or pytest.skip(f"needs {name}: make cuda")


@cache
def resources(code: Path) -> dict[str, tuple[int, int]]:
    """Kernel -> registers of a thread, bytes of stack and of local memory."""
    told = subprocess.run([tool("cuobjdump"), "-res-usage", code], capture_output=True, text=True, check=True).stdout
    return {
        name: (int(registers), int(stack) + int(local)) for name, registers, stack, _, local in RESOURCES.findall(told)
    }


def instructions(code: Path) -> Mapping[str, str]:
    """Kernel -> its instructions."""
    told = subprocess.run([tool("nvdisasm"), "-c", code], capture_output=True, text=True, check=True).stdout
    sections = re.split(r"^\s*\.section\s+\.text\.(\w+),.*$", told, flags=re.MULTILINE)
    return dict(zip(sections[1::2], sections[2::2], strict=True))


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cubins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(jit.CACHE_VARIABLE, str(folder / "cache"))
        yield folder


def name_of(value: object) -> str:
    if isinstance(value, Program):
        return "-".join([value.file.removesuffix(".cu"), *(str(number) for _, number in value.macros)])
    return str(value)


@pytest.mark.parametrize(("program", "arch"), INSTANCES, ids=name_of)
def test_machine_code(program: Program, arch: str, cache_folder: Path):
    """No local memory, few enough registers, and 16 bytes at a time where weights pass through."""
    code = cache_folder / f"{name_of(program)}-{arch}.cubin"
    code.write_bytes(jit.compile_program(program, arch))
    used = resources(code)
    assert used
    assert {name: local for name, (_, local) in used.items() if local} == {}
    assert {name: registers for name, (registers, _) in used.items() if registers > MOST_REGISTERS} == {}
    texts = instructions(code)
    assert texts.keys() == used.keys()
    for name, text in texts.items():
        assert not re.search(r"\b(LDL|STL)\b", text), f"{name} uses local memory"
        for move in STREAMING.get(name, ()):
            assert re.search(rf"\b{move}\.E(\.\w+)*\.128\b", text), f"{name} has no {move} of 16 bytes"
