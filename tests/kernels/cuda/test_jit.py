"""Compiling for a GPU that is not there, and keeping what was compiled."""

import os
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from kbit.kernels.cuda import jit
from kbit.kernels.cuda.launch import Program

pytest.importorskip("cuda.core", reason="needs cuda.core and NVRTC: pip install '.[cuda]'")

ARCH = "sm_90"
ELF = b"\x7fELF"


def small_program(bits: int = 4) -> Program:
    return Program("gemv.cu", (("KBIT_BITS", bits), ("KBIT_DTYPE", 2), ("KBIT_HAS_OFFSET", 0), ("KBIT_ROWS", 1)))


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(jit.CACHE_VARIABLE, str(tmp_path / "kernels"))
    return tmp_path / "kernels"


def entries(cache: Path) -> list[Path]:
    return [file for file in (cache / "entries").rglob("*") if file.is_file()]


def compile_and_count(folder: str) -> tuple[bytes, int]:
    """Machine code, and how often this process called the compiler for it."""
    os.environ[jit.CACHE_VARIABLE] = folder
    compile_source, calls = jit.compile_source, []
    jit.compile_source = lambda *arguments: calls.append(1) or compile_source(*arguments)
    return jit.compile_program(small_program(), ARCH), len(calls)


@pytest.mark.usefixtures("cache")
def test_the_second_time_it_is_read(monkeypatch):
    code = jit.compile_program(small_program(), ARCH)
    assert code.startswith(ELF)
    monkeypatch.setattr(jit, "compile_source", lambda *_: pytest.fail("compiled again"))
    assert jit.compile_program(small_program(), ARCH) == code


def test_another_architecture_or_macro_is_another_entry(cache):
    codes = {jit.compile_program(small_program(bits), arch) for bits in (3, 4) for arch in (ARCH, "sm_80")}
    assert len(codes) == len(entries(cache)) == 4


def test_a_damaged_entry_is_compiled_again(cache):
    code = jit.compile_program(small_program(), ARCH)
    (entry,) = entries(cache)
    entry.write_bytes(entry.read_bytes()[:-100])
    assert jit.compile_program(small_program(), ARCH) == code
    assert entry.read_bytes().endswith(code)


def test_a_cache_that_cannot_be_written_is_a_warning(cache):
    cache.parent.joinpath("kernels").write_text("a file, where the folder should be")
    with pytest.warns(UserWarning, match="machine code of the kernels cannot be kept in"):
        assert jit.compile_program(small_program(), ARCH).startswith(ELF)


def test_many_processes_compile_once(cache):
    with ProcessPoolExecutor(16, mp_context=get_context("spawn")) as pool:
        codes, calls = zip(*pool.map(compile_and_count, [str(cache)] * 16), strict=True)
    assert len(set(codes)) == 1
    assert sum(calls) == 1
    (entry,) = entries(cache)
    assert stat.S_IMODE(entry.stat().st_mode) & 0o077 == 0, "nobody else may put code there"
