"""Building and keeping the C++ kernels: what is missing, refuses, is damaged, is somebody else's, or comes at once."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kbit.kernels import backends, build, ops
from kbit.kernels.compiled import Library


@pytest.fixture(scope="module")
def built(require, tmp_path_factory) -> Path:
    """A library in a cache of its own."""
    require("compiler")
    folder = tmp_path_factory.mktemp("kept")
    backends.build_library(folder)
    return folder / build.library_name()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.make_folder(build.cache_folder())
    return build.cache_folder()


@pytest.fixture
def quick_compiler(built, tmp_path, monkeypatch) -> Path:
    """A compiler that has the library ready, and notes its calls."""
    script = tmp_path / "compiler"
    log = tmp_path / "calls"
    # The last argument is where the library goes.
    script.write_text(f'#!/bin/sh\necho >> {shlex.quote(str(log))}\nfor last; do :; done\ncp {built} "$last"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    return log


def test_the_cache_holds_one_library_and_nothing_else(built):
    assert list(built.parent.iterdir()) == [built]
    assert isinstance(backends.load_kept(built), Library)


@pytest.mark.usefixtures("folder")
def test_few_weights_build_nothing_and_many_do_once(quick_compiler):
    kernels = backends.CompiledKernels()
    assert kernels.find(backends.WORTH_BUILDING - 1) is None
    assert kernels.find(backends.WORTH_BUILDING) is not None
    assert kernels.find(1) is kernels.library
    assert isinstance(backends.CompiledKernels().find(1), Library)
    assert quick_compiler.read_text() == "\n"


@pytest.mark.usefixtures("quick_compiler")
def test_a_folder_that_cannot_be_written_to_costs_no_more_than_a_build(folder, monkeypatch):
    monkeypatch.setattr(build, "make_folder", lambda _: False)
    assert isinstance(backends.CompiledKernels().find(backends.WORTH_BUILDING), Library)
    assert not list(folder.iterdir())


@pytest.mark.usefixtures("quick_compiler")
def test_a_folder_below_a_file_is_no_place(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert isinstance(backends.CompiledKernels().find(backends.WORTH_BUILDING), Library)


@pytest.mark.usefixtures("quick_compiler")
def test_a_damaged_library_is_built_anew(folder):
    kept = folder / build.library_name()
    kept.write_bytes(b"\x7fELF and then nothing")
    kernels = backends.CompiledKernels()
    assert kernels.find(1) is None
    assert not kept.exists()
    assert kernels.find(backends.WORTH_BUILDING) is not None


@pytest.mark.parametrize("of", ["library", "folder"])
def test_what_others_may_write_to_is_not_loaded(of, folder, built):
    kept = Path(shutil.copy(built, folder / build.library_name()))
    assert backends.load_kept(kept) is not None
    {"library": kept, "folder": folder}[of].chmod(0o777)
    assert backends.load_kept(kept) is None


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'x.cpp:1: error: what is this' >&2; exit 1", "x.cpp:1: error: what is this"),
        ("exit 3", "exit code 3"),
        ("exit 0", "file too short"),  # it says that it went well, and wrote nothing
    ],
)
def test_a_compiler_that_fails_is_told_once_and_eager_goes_on(script, why, folder, tmp_path, monkeypatch, capsys):
    compiler = tmp_path / "compiler"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    kernels = backends.CompiledKernels()
    assert [kernels.find(backends.WORTH_BUILDING) for _ in range(2)] == [None, None]
    assert why in kernels.why_not
    assert capsys.readouterr().err.count(why) == 1
    assert not list(folder.iterdir())


@pytest.mark.usefixtures("quick_compiler")
def test_a_library_with_other_results_is_not_trusted(folder, monkeypatch):
    right = Library.fake_quantize
    monkeypatch.setattr(Library, "fake_quantize", lambda *arguments: right(*arguments) * (1 + 2.0**-23))
    kernels = backends.CompiledKernels()
    assert kernels.find(backends.WORTH_BUILDING) is None
    assert "makes other results of torch.float32 than torch does" in kernels.why_not
    assert not list(folder.iterdir())


def test_the_oldest_libraries_go(folder):
    for number in range(build.KEPT + 3):
        path = folder / f"{build.PREFIX}{number}.so"
        path.touch()
        os.utime(path, (number, number))
    build.tidy(folder)
    assert {path.name for path in folder.iterdir()} == {
        f"{build.PREFIX}{number}.so" for number in range(3, build.KEPT + 3)
    }


@pytest.mark.usefixtures("quick_compiler")
def test_processes_that_build_at_once_leave_one_library(folder):
    code = "from kbit.kernels import backends; assert backends.KERNELS.find(backends.WORTH_BUILDING)"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert list(folder.iterdir()) == [folder / build.library_name()]


def test_another_processor_has_another_library(monkeypatch):
    here = build.library_name()
    monkeypatch.setattr(build, "instruction_sets", lambda: "flags: avx1024")
    assert build.library_name() != here


def test_the_operator_takes_the_library_and_says_so(built, monkeypatch):
    kernels = backends.CompiledKernels()
    monkeypatch.setattr(backends, "KERNELS", kernels)
    weight, levels = torch.randn(8, 64), torch.tensor([-1.0, 0.0, 1.0])
    results, seen = {}, {}
    for name, library in (("compiled", Library(built)), ("eager", None)):
        kernels._looked, kernels.library, seen[name] = True, library, set()
        with backends.watch(seen[name]):
            results[name] = ops.fake_quantize(weight, levels, 64, torch.float16)
            ops.fake_quantize_scaled(weight, levels, torch.ones(8), None, 64)
    assert torch.equal(results["compiled"], results["eager"])
    assert seen == {"compiled": {"compiled"}, "eager": {"eager"}}
