"""What a study takes from the hub, and the stamps that say that it was fetched. Nothing for what is local."""

from pathlib import Path

from kbit.spec.models import Model
from kbit.spec.requests import RequestsSpec
from kbit.spec.tasks import Task
from kbit.store.atomic import write_json_if_changed
from kbit.store.paths import fetched_model_path, fetched_task_path, task_path


def model_stamps(model: Model) -> list[Path]:
    """The stamp of a hub model; none for a local one."""
    return [fetched_model_path(model.slug)] if model.hub_id else []


def task_stamps(task: Task) -> list[Path]:
    """The stamp of a task's hub data set; none for local data."""
    return [fetched_task_path(task.name, data_digest(task))] if task.entry.dataset else []


def requests_stamps(spec: RequestsSpec) -> list[Path]:
    """What must have been fetched before items are tokenized: the data, and the model that has the tokenizer."""
    return [*task_stamps(spec.task), *model_stamps(spec.model)]


def data_digest(task: Task) -> str:
    """12 hex digits over what says which data a task reads: its name, data set, configuration and revision."""
    return task.definition[:12]


def write_task_locator(task: Task) -> None:
    """Write which data set a task reads, for the job that fetches it; how many of its items are scored is no matter."""
    if task.entry.dataset:
        write_json_if_changed(task_path(task.name, data_digest(task)), {**task.locator(), "item_limit": None})
