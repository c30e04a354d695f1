"""Fetch what a study names on the hub, and leave a stamp: the commit, and each file with its size and digest."""

import json
from collections.abc import Iterable
from pathlib import Path

from kbit.evaluation.hub_data import fetch_task, task_repository
from kbit.models.fetch import fetch_model, model_repository
from kbit.models.hub import HubFile, Repository
from kbit.store.atomic import to_bytes, write_bytes

STAMP_VERSION = 1


def fetch_model_to(stamp: Path, locator: dict) -> str:
    """Fetch a hub model (`Model.locator()`) and write its stamp; returns a line that says what is there now.

    UserError as `fetch_model` raises it; no stamp is written then.
    """
    return write_stamp(stamp, model_repository(locator), fetch_model(locator))


def fetch_task_to(stamp: Path, locator: dict) -> str:
    """Fetch the hub data set of a task (`Task.locator()`) and write its stamp, as for a model."""
    return write_stamp(stamp, task_repository(locator), fetch_task(locator))


def write_stamp(stamp: Path, repository: Repository, files: Iterable[HubFile]) -> str:
    """Write the stamp whole or not at all. It names no path and no time: the same commit leaves the same stamp."""
    entries = [{"name": file.name, "bytes": file.size, file.algorithm: file.digest} for file in files]
    size = sum(entry["bytes"] for entry in entries)
    content = {
        "stamp_version": STAMP_VERSION,
        "kind": repository.kind,
        "hub_id": repository.hub_id,
        "commit": repository.commit,
        "bytes": size,
        "files": entries,
    }
    write_bytes(stamp, to_bytes(content))
    return f"{repository.hub_id} at {repository.commit}: {len(entries)} files, {size / 1e6:,.1f} MB, as the hub says"


def is_cached(stamp: Path) -> bool:
    """Whether the files of a stamp lie in the hub's cache, by name and size: a matter of milliseconds."""
    try:
        content = json.loads(stamp.read_text(encoding="utf-8"))
        folder = Repository("stamp", content["kind"], content["hub_id"], content["commit"]).folder
        return all((folder / file["name"]).stat().st_size == file["bytes"] for file in content["files"])
    except (OSError, ValueError, KeyError):
        return False
