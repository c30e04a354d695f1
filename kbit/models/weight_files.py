"""The files that hold a model's weights, memory-mapped: a tensor is read from disk when its values are looked at.

Safetensors, or `.bin` through torch's loader for weights alone, which runs no code of the file's. Pages that were read
are the operating system's to keep or drop: they take no memory that anything else needs.
"""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from kbit.models.fetch import WEIGHTS, shard_names
from kbit.models.load import NOT_LOADABLE
from kbit.models.locator import Locator, find_source, not_loadable


class WeightFiles:
    """Every tensor of a checkpoint by its name in the files."""

    def __init__(self, paths: list[Path]) -> None:
        self._read: dict[str, Callable[[], Tensor]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in paths:
            (self.open_safetensors if path.suffix == ".safetensors" else self.open_bin)(path)

    def open_safetensors(self, path: Path) -> None:
        file = safe_open(path, framework="pt", device="cpu")
        for name in file.keys():  # noqa: SIM118 - not a dict
            self._read[name] = lambda file=file, name=name: file.get_tensor(name)
            self.shapes[name] = tuple(file.get_slice(name).get_shape())

    def open_bin(self, path: Path) -> None:
        for name, tensor in torch.load(path, map_location="cpu", mmap=True, weights_only=True).items():
            self._read[name] = lambda tensor=tensor: tensor
            self.shapes[name] = tuple(tensor.shape)

    def read(self, name: str) -> Tensor:
        """The tensor on the CPU in the dtype of the file, not to be written to."""
        return self._read[name]()


def open_weight_files(locator: Locator, trust_remote_code: bool = False) -> WeightFiles | None:
    """The files of a model; None if it has none that can be mapped (a GGUF file, torch's format before 1.6).

    UserError, naming the model, if they are broken.
    """
    source, options = find_source(locator, trust_remote_code)
    if "gguf_file" in options:
        return None
    try:
        paths = find_paths(Path(source))
        return WeightFiles(paths) if paths and all(is_mappable(path) for path in paths) else None
    except NOT_LOADABLE as error:
        raise not_loadable(locator, "model", error) from error


def find_paths(folder: Path) -> list[Path]:
    """The files with weights in a folder, in the order in which transformers looks for them; none where it finds none.

    UserError: an index that is none.
    """
    for name in chain.from_iterable(WEIGHTS):
        if (folder / name).is_file():
            return [folder / each for each in sorted(shard_names(folder / name) or {name})]
    return []


def is_mappable(path: Path) -> bool:
    """Safetensors, or torch's format since 1.6, which is a zip archive."""
    with path.open("rb") as stream:
        return path.suffix == ".safetensors" or stream.read(4) == b"PK\x03\x04"
