"""`kbit pin`: fill in the commits of hub models and hub data sets, and the counts of models."""

from collections.abc import Sequence
from pathlib import Path

from kbit.models.hub import HUB_SECONDS, hub_errors
from kbit.models.pin import Change, Values, pin_entries, pin_models, read_text
from kbit.spec.edit import read_sections
from kbit.spec.tasks import TaskEntry


def pin_sheet(data_sheet: Path, names: Sequence[str] | None = None) -> list[Change]:
    """Pin the named models or tasks of a data sheet, all if names is None. UserError if it holds neither."""
    if "tasks" in read_sections(read_text(data_sheet), str(data_sheet)):
        return pin_tasks(data_sheet, names)
    return pin_models(data_sheet, names)


def pin_tasks(data_sheet: Path, names: Sequence[str] | None = None) -> list[Change]:
    """Fill revision of the named tasks whose data set is on the hub. UserError as for models."""
    return pin_entries(data_sheet, "tasks", names, TaskEntry, find_values)


def find_values(entry: Values) -> Values:
    """The commit of a task's data set; nothing for local data, whose content is its identity."""
    from huggingface_hub import HfApi

    dataset, revision = entry.get("dataset"), entry.get("revision")
    if not dataset:
        return {}
    with hub_errors(f"task {entry['name']!r}", f"datasets/{dataset}", revision, "pinning"):
        return {"revision": HfApi().dataset_info(dataset, revision=revision, timeout=HUB_SECONDS).sha}
