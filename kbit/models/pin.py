"""Fill in what identifies and sizes the models of a data sheet: the commit on the hub, and the counts of parameters."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from kbit.models.hub import HUB_SECONDS, hub_errors
from kbit.spec.edit import Entry, find_entries, read_values, set_values
from kbit.spec.errors import UserError
from kbit.spec.gguf import find_gguf
from kbit.spec.models import ModelEntry
from kbit.spec.section import Section, parse_section

Values = dict[str, object]


@dataclass(frozen=True, slots=True)
class Change:
    """One value that pinning wrote."""

    name: str
    key: str
    old: object
    new: object

    def __str__(self) -> str:
        return f"{self.name}: {self.key} {'' if self.old is None else f'{self.old} -> '}{self.new}"


def pin_models(data_sheet: Path, names: Sequence[str] | None = None) -> list[Change]:
    """Fill revision (hub models that have none), parameters and quantized_parameters of the named models.

    names: names or shell patterns; None is all models. A commit that stands there is kept, the counts are those of its
    config. UserError, naming the model: no network, an id that the hub does not know, a folder without config, an
    unknown architecture.
    """
    return pin_entries(data_sheet, "models", names, ModelEntry, lambda entry: find_values(entry, data_sheet))


def pin_entries(
    data_sheet: Path,
    section: str,
    names: Sequence[str] | None,
    kind: type[Section],
    find: Callable[[Values], Values],
) -> list[Change]:
    """Write what `find` says of each named entry into the sheet's list `section`, and return what has changed.

    The file is edited in place, comments stay; it is written only when all entries were found and fit `kind`.
    """
    text = read_text(data_sheet)
    changes: list[Change] = []
    for name in select(find_entries(text, section, str(data_sheet)), names, data_sheet, section):
        # Found anew each time: an edit moves what follows.
        entry = find_entries(text, section, str(data_sheet))[name]
        present = read_values(entry)
        wanted = {key: value for key, value in find(present).items() if present.get(key) != value}
        parse_section(kind, {**present, **wanted}, f"{name!r} in {section} of {data_sheet}")
        text = set_values(text, entry, wanted, after=next(key for key in SOURCES if present.get(key)))
        changes.extend(Change(name, key, present.get(key), value) for key, value in wanted.items())
    if changes:
        replace_text(data_sheet, text)
    return changes


SOURCES = ("hub_id", "path", "gguf_file", "dataset", "yaml_file", "data_files")
"""Keys that say where an entry's content comes from; what is found is written behind them."""


def read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None


def replace_text(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def select(entries: dict[str, Entry], patterns: Sequence[str] | None, data_sheet: Path, section: str) -> list[str]:
    if patterns is None:
        return list(entries)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in entries):
            raise UserError(f"{pattern!r} matches none of the {section} of {data_sheet}: {', '.join(entries)}")
    return [name for name in entries if any(fnmatchcase(name, pattern) for pattern in patterns)]


def find_values(entry: Values, data_sheet: Path) -> Values:
    """What the data sheet should say of one model."""
    name = entry["name"]
    if entry.get("hub_id"):
        revision, folder = fetch_config(name, entry["hub_id"], entry.get("revision"))
        return {"revision": revision, **read_counts(name, folder)}
    if entry.get("path"):
        return read_counts(name, Path(data_sheet.parent, entry["path"]))
    if entry.get("gguf_file"):
        file = find_gguf(name, entry["gguf_file"], entry.get("package"), data_sheet)
        return read_counts(name, file.parent, file.name)
    raise UserError(f"model {name!r} needs exactly one of hub_id, path and gguf_file ({data_sheet})")


def fetch_config(name: str, hub_id: str, revision: str | None) -> tuple[str, Path]:
    """The commit that `revision` (None: the main branch) stands for, and a folder with its config.json."""
    from huggingface_hub import HfApi, hf_hub_download

    with hub_errors(f"model {name!r}", hub_id, revision, "pinning"):
        commit = HfApi().model_info(hub_id, revision=revision, timeout=HUB_SECONDS).sha
        return commit, Path(hf_hub_download(hub_id, "config.json", revision=commit)).parent


def read_counts(name: str, folder: Path, gguf_file: str | None = None) -> dict[str, object]:
    """parameters and quantized_parameters of the config in a folder, or in a GGUF file there."""
    from transformers import AutoConfig

    from kbit.models.counts import count_parameters

    file = folder / (gguf_file or "config.json")
    if not file.is_file():
        raise UserError(f"model {name!r}: no {file.name} in {folder}")
    try:
        config = AutoConfig.from_pretrained(folder, gguf_file=gguf_file, trust_remote_code=False)
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"model {name!r}: transformers cannot read {file}: {reason}") from None
    return asdict(count_parameters(config))
