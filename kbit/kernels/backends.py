"""Which implementation quantizes on a CPU, C++ or torch's own operations, and a record of which one did."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from kbit.kernels import blockwise, build
from kbit.kernels.compiled import Library
from kbit.spec.notes import note

COMPILED, EAGER = "compiled", "eager"
"""C++ that was built on this machine; torch's operations one after the other. Kernels of a GPU have names of theirs."""
WORTH_BUILDING = 150_000_000
"""Weights to quantize for which the seconds of a build come back: eager, they take some three of them."""


class CompiledKernels:
    """The library of this process: loaded if the cache has it, built once that is worth it."""

    def __init__(self) -> None:
        self.library: Library | None = None
        self.why_not = ""
        """What kept it from being built."""
        self._looked = False

    def find(self, n_weights: int) -> Library | None:
        """The library to quantize so many weights with; None: torch's own operations are the quicker way."""
        if not self._looked:
            self._looked = True
            self.library = load_kept(build.cache_folder() / build.library_name())
        if self.library is None and not self.why_not and n_weights >= WORTH_BUILDING:
            try:
                self.library = build_library(build.cache_folder())
            except build.BuildError as error:
                self.why_not = str(error)
                note(f"weights are quantized by torch's own operations, several times slower than could be: {error}")
        return self.library


KERNELS = CompiledKernels()


def prepare(n_weights: int) -> None:
    """Say how many weights a job is about to quantize: each call by itself may be too small to build anything for."""
    KERNELS.find(n_weights)


def load_kept(path: Path) -> Library | None:
    """A library of the cache; None if it is not there, is damaged, or may be somebody else's."""
    if not (build.is_trusted(path) and build.is_trusted(path.parent)):
        return None
    try:
        return Library(path)
    except (OSError, AttributeError):
        path.unlink(missing_ok=True)
        return None


def build_library(folder: Path) -> Library:
    """Build, check, and keep if the folder can be written to. build.BuildError: no compiler, or not one to trust."""
    with tempfile.TemporaryDirectory(prefix="kbit-") as scratch:
        keeps = build.make_folder(folder)
        path = build.new_file(folder if keeps else Path(scratch))
        try:
            build.build(path)
            library = checked(path)
            if keeps:
                path.replace(folder / build.library_name())
                build.tidy(folder)
        except OSError as error:  # a full disk
            raise build.BuildError(str(error)) from None
        finally:
            path.unlink(missing_ok=True)
    return library


def checked(path: Path) -> Library:
    """A new library. build.BuildError: its results are not those of torch's operations, bit for bit."""
    library = Library(path)
    weight = torch.linspace(-1, 1, 4099).sin().view(1, -1) * 0.02
    for dtype, levels in ((torch.float32, 15), (torch.float16, 16), (torch.bfloat16, 255), (torch.float32, 256)):
        codebook = torch.linspace(-1, 1, levels)
        codebook[levels // 2] = 0.0
        expected = blockwise.fake_quantize(weight.to(dtype), codebook, 100, torch.float16)
        if not torch.equal(library.fake_quantize(weight.to(dtype), codebook, 100, torch.float16), expected):
            raise build.BuildError(f"{build.find_compiler()} makes other results of {dtype} than torch does")
    return library


def choose(weight: Tensor) -> Library | ModuleType:
    """What quantizes a weight that no kernel of its device takes."""
    library = KERNELS.find(weight.numel()) if weight.device.type == "cpu" else None
    record(EAGER if library is None else COMPILED)
    return library or blockwise


WATCHERS: list[set[str]] = []


@contextmanager
def watch(seen: set[str]) -> Iterator[None]:
    """Within the block, `seen` takes in the names of the implementations that quantize."""
    WATCHERS.append(seen)
    try:
        yield
    finally:
        WATCHERS[:] = [other for other in WATCHERS if other is not seen]


def record(backend: str) -> None:
    """To be called by whatever quantizes a matrix."""
    for seen in WATCHERS:
        seen.add(backend)
