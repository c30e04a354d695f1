"""Fetch what a study names on the hub, and leave a stamp: the commit, and each file with its size and digest."""

from collections.abc import Iterable
from pathlib import Path

from kbit.evaluation.hub_data import fetch_task
from kbit.models.fetch import fetch_model
from kbit.models.hub import HubFile
from kbit.store.atomic import to_bytes, write_bytes

STAMP_VERSION = 1


def fetch_model_to(stamp: Path, locator: dict) -> str:
    """Fetch a hub model (`Model.locator()`) and write its stamp; returns a line that says what is there now.

    UserError as `fetch_model` raises it; no stamp is written then.
    """
    return write_stamp(stamp, str(locator["hub_id"]), str(locator["revision"]), fetch_model(locator))


def fetch_task_to(stamp: Path, locator: dict) -> str:
    """Fetch the hub data set of a task (`Task.locator()`) and write its stamp, as for a model."""
    return write_stamp(stamp, str(locator["dataset"]), str(locator["revision"]), fetch_task(locator))


def write_stamp(stamp: Path, hub_id: str, commit: str, files: Iterable[HubFile]) -> str:
    """Write the stamp whole or not at all. It names no path and no time: the same commit leaves the same stamp."""
    entries = [{"name": file.name, "bytes": file.size, file.algorithm: file.digest} for file in files]
    size = sum(entry["bytes"] for entry in entries)
    content = {"stamp_version": STAMP_VERSION, "hub_id": hub_id, "commit": commit, "bytes": size, "files": entries}
    write_bytes(stamp, to_bytes(content))
    return f"{hub_id} at {commit}: {len(entries)} files, {size / 1e6:,.1f} MB, as the hub says"
