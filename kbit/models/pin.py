"""Fill in what identifies and sizes the models of a data sheet: the commit on the hub, and the counts of parameters."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from kbit.spec.edit import Entry, find_entries, read_values, set_values
from kbit.spec.errors import UserError
from kbit.spec.models import ModelEntry
from kbit.spec.section import parse_section


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
    config. The file is edited in place, comments stay; it is written only when all models were read. UserError, naming
    the model: no network, an id that the hub does not know, a folder without config, an unknown architecture.
    """
    text = read_text(data_sheet)
    changes: list[Change] = []
    for name in select(find_entries(text, "models", str(data_sheet)), names, data_sheet):
        # Found anew each time: an edit moves what follows.
        entry = find_entries(text, "models", str(data_sheet))[name]
        present = read_values(entry)
        wanted = {key: value for key, value in find_values(present, data_sheet).items() if present.get(key) != value}
        parse_section(ModelEntry, {**present, **wanted}, f"model {name!r} of {data_sheet}")
        text = set_values(text, entry, wanted, after="hub_id" if present.get("hub_id") else "path")
        changes.extend(Change(name, key, present.get(key), value) for key, value in wanted.items())
    if changes:
        replace_text(data_sheet, text)
    return changes


def read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None


def replace_text(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def select(entries: dict[str, Entry], patterns: Sequence[str] | None, data_sheet: Path) -> list[str]:
    if patterns is None:
        return list(entries)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in entries):
            raise UserError(f"{pattern!r} matches no model of {data_sheet}; the models are {', '.join(entries)}")
    return [name for name in entries if any(fnmatchcase(name, pattern) for pattern in patterns)]


def find_values(entry: dict[str, object], data_sheet: Path) -> dict[str, object]:
    """What the data sheet should say of one model."""
    if not entry.get("hub_id") and not entry.get("path"):
        raise UserError(f"model {entry['name']!r} needs exactly one of hub_id and path ({data_sheet})")
    if entry.get("path"):
        return read_counts(entry["name"], Path(data_sheet.parent, entry["path"]))
    revision, folder = fetch_config(entry["name"], entry["hub_id"], entry.get("revision"))
    return {"revision": revision, **read_counts(entry["name"], folder)}


def fetch_config(name: str, hub_id: str, revision: str | None) -> tuple[str, Path]:
    """The commit that `revision` (None: the main branch) stands for, and a folder with its config.json."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled, RepositoryNotFoundError, RevisionNotFoundError

    try:
        commit = HfApi().model_info(hub_id, revision=revision, timeout=30).sha
        return commit, Path(hf_hub_download(hub_id, "config.json", revision=commit)).parent
    except RevisionNotFoundError:
        raise UserError(f"model {name!r}: {hub_id} has no revision {revision!r} on the hub") from None
    except RepositoryNotFoundError:
        raise UserError(f"model {name!r}: the hub knows no {hub_id!r}, or it asks for a login (hub_id)") from None
    except (HTTPError, OfflineModeIsEnabled, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"model {name!r}: the hub cannot be reached, pinning needs the network: {reason}") from None


def read_counts(name: str, folder: Path) -> dict[str, object]:
    """parameters and quantized_parameters of the config in a folder."""
    from transformers import AutoConfig

    from kbit.models.counts import count_parameters

    if not (folder / "config.json").is_file():
        raise UserError(f"model {name!r}: no config.json in {folder}")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"model {name!r}: transformers cannot read {folder / 'config.json'}: {reason}") from None
    return asdict(count_parameters(config))
