"""The models of a study: what the data sheet (models.yaml) says, and what identifies their weights."""

import json
import re
import struct
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

from pydantic import Field, model_validator

from kbit.spec.digest import digest_file, digest_files, digest_json
from kbit.spec.errors import UserError
from kbit.spec.gguf import find_gguf
from kbit.spec.section import Section

WEIGHT_FILES = ("config.json", "*.safetensors", "pytorch_model*.bin")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "*.model",
)


class ModelEntry(Section):
    """One model of the data sheet."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Unique name, shown in tables and figures.")
    family: str = Field(min_length=1, description="Models that differ in size alone share a family.")
    hub_id: str | None = Field(default=None, description="Hugging Face hub id, such as EleutherAI/pythia-70m.")
    revision: str | None = Field(default=None, description="Commit on the hub; `kbit pin` fills it.")
    path: str | None = Field(default=None, description="Folder of a local checkpoint, relative to this file.")
    gguf_file: str | None = Field(default=None, description="A GGUF file, relative to this file or inside `package`.")
    package: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",  # no dot: finding a submodule would import what is above it
        description="Installed Python package that holds gguf_file, by the name one imports.",
    )
    parameters: int | None = Field(
        default=None, gt=0, description="All parameters, tied tensors once; read from local weights if absent."
    )
    quantized_parameters: int | None = Field(default=None, gt=0, description="Weights of the quantized linear layers.")
    tokens_seen: int | None = Field(default=None, gt=0, description="Tokens the model was trained on.")

    @model_validator(mode="after")
    def check_source(self) -> "ModelEntry":
        if [self.hub_id, self.path, self.gguf_file].count(None) != 2:
            raise ValueError(f"model {self.name!r} needs exactly one of hub_id, path and gguf_file")
        if self.package is not None and self.gguf_file is None:
            raise ValueError(f"model {self.name!r} has a package, which goes with gguf_file only")
        if self.path is None and self.parameters is None:
            source = "the hub" if self.hub_id is not None else "a GGUF file"
            raise ValueError(f"model {self.name!r} comes from {source} and needs parameters (`kbit pin` fills them)")
        return self


class ModelsFile(Section):
    """A data sheet of models."""

    models: tuple[ModelEntry, ...] = Field(
        min_length=1, description="The models, in the order in which reports list them."
    )


@dataclass(frozen=True)
class Model:
    """A model of a study, its weights identified."""

    name: str
    family: str
    model_id: str
    """Identity of the weights: hub id @ revision, or the digest of the local files."""
    tokenizer_id: str
    """Identity of the tokenizer; models that share it share their requests."""
    parameters: int
    """All parameters, tied tensors once."""
    quantized_parameters: int | None
    tokens_seen: int | None
    hub_id: str | None
    revision: str | None
    path: Path | None
    """Folder of the local files."""
    gguf_file: str | None = None
    """Name of the one file in `path` that is the model, where it is a GGUF file."""

    @cached_property
    def slug(self) -> str:
        """Folder name of the model's parts and journals: a function of its identity, never of its name."""
        return model_slug(self.model_id)

    def locator(self) -> dict[str, object]:
        """Where a job finds the weights, and how to name the model in messages."""
        return {
            "name": self.name,
            "model_id": self.model_id,
            "hub_id": self.hub_id,
            "revision": self.revision,
            "path": str(self.path) if self.path else None,
            # Absent, not null, for other models: their files in results/ stay as they are.
            **({"gguf_file": self.gguf_file} if self.gguf_file else {}),
        }


def model_slug(model_id: str) -> str:
    """The folder name of a model's results."""
    return re.sub(r"[^a-z0-9.]+", "-", model_id.lower()).strip("-")


def resolve_model(entry: ModelEntry, data_sheet: Path) -> Model:
    """Identify the weights of an entry. UserError when they are missing, or a package that holds or reads them is."""
    common = entry.model_dump(include={"name", "family", "quantized_parameters", "tokens_seen", "hub_id", "revision"})
    if entry.hub_id is not None:
        source = f"{entry.hub_id}@{entry.revision or 'unpinned'}"
        return Model(model_id=source, tokenizer_id=source, parameters=entry.parameters, path=None, **common)
    if entry.gguf_file is not None:
        file = find_gguf(entry.name, entry.gguf_file, entry.package, data_sheet)
        identity = f"local-{digest_file(file)[:16]}"  # 0.5 s for 100 MB, once per process: as for any local weights
        return Model(
            model_id=identity,
            tokenizer_id=identity,
            parameters=entry.parameters,
            path=file.parent,
            gguf_file=file.name,
            **common,
        )
    folder = Path(data_sheet.parent, entry.path).resolve()
    if not folder.is_dir():
        raise UserError(f"model {entry.name!r}: no folder {entry.path} (path of the model in {data_sheet})")
    code = code_files(folder)
    weights, tokenizer = matching(folder, WEIGHT_FILES) + code, matching(folder, TOKENIZER_FILES) + code
    if not (folder / "config.json").is_file() or not any(file.suffix in (".safetensors", ".bin") for file in weights):
        raise UserError(
            f"model {entry.name!r}: {entry.path} holds no config.json with weights (path of the model in {data_sheet})"
        )
    return Model(
        model_id=f"local-{digest_json([digest_files(weights), digest_files(tokenizer)])[:16]}",
        tokenizer_id=f"local-{digest_files(tokenizer)[:16]}",
        parameters=entry.parameters or count_parameters(folder),
        path=folder,
        **common,
    )


def matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({file for pattern in patterns for file in folder.glob(pattern)})


def code_files(folder: Path) -> list[Path]:
    """The code of a model that would have its own run, where it is trusted; a script that merely lies there is none."""
    configs = (folder / name for name in ("config.json", "tokenizer_config.json"))
    asks = any(b'"auto_map"' in file.read_bytes() for file in configs if file.is_file())
    return matching(folder, ("*.py",)) if asks else []


def count_parameters(folder: Path) -> int:
    """Parameters stored in the folder's safetensors files, from their headers (a tied tensor is stored once)."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder} holds no safetensors: state `parameters` of the model in its data sheet")
    return sum(prod(tensor["shape"]) for file in files for tensor in read_header(file).values())


def read_header(file: Path) -> dict[str, dict]:
    """Name -> {dtype, shape, data_offsets} of a safetensors file: a little-endian u64 length, then JSON."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
    except (struct.error, ValueError, MemoryError, OverflowError):
        raise UserError(
            f"{file} is not a safetensors file (truncated, or a pointer that git-lfs has not fetched)"
        ) from None
    header.pop("__metadata__", None)
    return header
