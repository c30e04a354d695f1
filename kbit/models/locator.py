"""Where a model lies, in the words of transformers. Imports none of it."""

from collections.abc import Mapping
from pathlib import Path

from kbit.spec.errors import UserError

Locator = Mapping[str, object]
"""`kbit.spec.models.Model.locator()`: name, and either path (with gguf_file, if that is the model) or hub_id with
revision."""


def find_source(locator: Locator, trust_remote_code: bool = False) -> tuple[str, dict[str, object]]:
    """What transformers calls the name or path, and the options that go with it: no network, and no code of the
    model's unless it is trusted.

    UserError, naming the model: its folder is missing or holds no config.json, or its GGUF file is missing.
    """
    options: dict[str, object] = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    if locator["path"] is None:
        return str(locator["hub_id"]), {**options, "revision": locator["revision"]}
    folder = Path(str(locator["path"]))
    if (gguf_file := locator.get("gguf_file")) is not None:
        if not (folder / str(gguf_file)).is_file():
            raise UserError(f"{describe(locator)}: no file {folder / str(gguf_file)} (gguf_file of the model)")
        return str(folder), {**options, "gguf_file": gguf_file}
    if not (folder / "config.json").is_file():
        state = "holds no config.json" if folder.is_dir() else "is not a folder"
        raise UserError(f"{describe(locator)}: {folder} {state} (path of the model in its data sheet)")
    return str(folder), options


def describe(locator: Locator) -> str:
    return f"model {locator['name']!r}"


def not_loadable(locator: Locator, what: str, error: Exception) -> UserError:
    """The first line of what transformers says; its advice to go online does not apply here."""
    place = locator["path"] or f"{locator['hub_id']} (revision {locator['revision']}, in the local hub cache)"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(f"{describe(locator)}: no {what} could be loaded from {place}: {lines[0]}")
