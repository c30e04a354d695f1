"""Where a model lies, in the words of transformers. Imports none of it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from kbit.models.hub import Repository
from kbit.spec.errors import UserError

Locator = Mapping[str, object]
"""`kbit.spec.models.Model.locator()`: name, and either path (with gguf_file, if that is the model) or hub_id with
revision."""


CLASSES = ("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer")
"""Of the classes that a model may bring code for (`auto_map`), those that evaluating it would load."""


def find_source(locator: Locator, trust_remote_code: bool = False) -> tuple[str, dict[str, object]]:
    """The folder that transformers reads, and the options that go with it: no network, and no code of the model's
    unless it is trusted.

    UserError, naming the model: its folder is missing or holds no config.json, its GGUF file is missing, it was not
    fetched from the hub, or it brings code that is not trusted.
    """
    options: dict[str, object] = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    if locator["path"] is None:
        folder = fetched_folder(locator)
        check_code(locator, folder, trust_remote_code)
        return str(folder), options
    folder = Path(str(locator["path"]))
    if (gguf_file := locator.get("gguf_file")) is not None:
        if not (folder / str(gguf_file)).is_file():
            raise UserError(f"{describe(locator)}: no file {folder / str(gguf_file)} (gguf_file of the model)")
        return str(folder), {**options, "gguf_file": gguf_file}
    if not (folder / "config.json").is_file():
        state = "holds no config.json" if folder.is_dir() else "is not a folder"
        raise UserError(f"{describe(locator)}: {folder} {state} (path of the model in its data sheet)")
    check_code(locator, folder, trust_remote_code)
    return str(folder), options


def model_repository(locator: Locator) -> Repository:
    return Repository(describe(locator), "model", str(locator["hub_id"]), str(locator["revision"]))


def fetched_folder(locator: Locator) -> Path:
    """Where the hub's cache has exactly the pinned commit: a folder like that of a local model."""
    repository = model_repository(locator)
    if not (repository.folder / "config.json").is_file():
        raise UserError(
            f"{describe(locator)}: {repository.place} is not in the hub cache ({repository.folder}): "
            "`kbit fetch STUDY` fetches it, where there is a network"
        )
    return repository.folder


def check_code(locator: Locator, folder: Path, trust_remote_code: bool) -> None:
    """UserError for code that comes with the model: at all, unless it is trusted, and from elsewhere always.

    Where transformers has a class of its own as well it would take that one silently, and the scores might not be those
    of the model that its authors mean.
    """
    for file, code in code_references(folder):
        if "--" in code:
            raise UserError(
                f"{describe(locator)}: its {file} names code of another repository, which nothing pins: {code}"
            )
        if not trust_remote_code:
            raise UserError(
                f"{describe(locator)}: its {file} asks to run Python code that comes with it ({code}), which is "
                "refused unless `kbit run --trust-remote-code` says that you have read it"
            )


def code_references(folder: Path) -> Iterator[tuple[str, str]]:
    """(file, module.class) for each piece of its own code that a checkpoint would have loaded."""
    for name in ("config.json", "tokenizer_config.json"):
        try:
            auto_map = json.loads((folder / name).read_text(encoding="utf-8")).get("auto_map") or {}
        except (OSError, ValueError, AttributeError):
            continue  # missing or broken: the reader of the file says so
        for key in CLASSES:
            named = auto_map.get(key) if isinstance(auto_map, dict) else auto_map
            for code in named if isinstance(named, list | tuple) else [named]:
                if code:
                    yield name, str(code)


def describe(locator: Locator) -> str:
    return f"model {locator['name']!r}"


def not_loadable(locator: Locator, what: str, error: Exception) -> UserError:
    """The first line of what transformers says; its advice to go online does not apply here."""
    place = locator["path"] or f"{locator['hub_id']} (revision {locator['revision']}, in the hub cache)"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(f"{describe(locator)}: no {what} could be loaded from {place}: {lines[0]}")
