"""lm-eval's own task object with its data: what the requests of a task are built from."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kbit.evaluation.hub_data import data_folder
from kbit.models.hub import innermost
from kbit.spec.definition import read_keys
from kbit.spec.errors import UserError
from kbit.spec.tasks import loader_of

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks import TaskManager

OUTPUT_TYPES = {"zero-shot": ("loglikelihood", "multiple_choice"), "perplexity": ("loglikelihood_rolling",)}
"""What lm-eval asks of a model, by kind of task. Free generation is not scored here."""
SCORED = ("test_split", "validation_split")
"""The splits that lm-eval scores, the first that a definition has."""
PERPLEXITY_METRICS = ("nats_per_token", "nats_per_byte", "nats_per_word")
"""Metrics every perplexity task gets beside lm-eval's own."""


def load_task(locator: dict, scratch: Path) -> "ConfigurableTask":
    """The task of a locator (`Task.locator()`), data loaded; local data is cached in `scratch` only.

    UserError when lm-eval does not know the task, when its definition or data is broken, or when it is not what
    tasks.yaml says of it.
    """
    if "text" in locator:
        from kbit.evaluation.text_tasks import text_task

        return text_task(locator)
    manager = task_manager(locator)
    overrides = find_overrides(locator, manager, scratch)
    # A group of one: lm-eval's public way to load a registered task with some keys overridden.
    group = {"group": f"kbit_{locator['name']}", "task": [{"task": locator["name"], **overrides}]}
    try:
        task = manager.load(group)["tasks"][locator["name"]]
    except Exception as error:
        # Whatever a definition or its data makes lm-eval raise is a fault of that definition or data.
        reason = f"{one_line(error)}{columns_hint(locator)}"
        raise UserError(f"task {locator['name']!r} cannot be loaded from {source(locator)}: {reason}") from error
    check_task(task, locator)
    return task


def source(locator: dict) -> str:
    files = [*([locator["yaml_file"]] if locator["yaml_file"] else []), *locator["data_files"]]
    return ", ".join(files) or f"the data set {locator['dataset']}"


def one_line(error: Exception) -> str:
    """The innermost error's name and message."""
    error = innermost(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def columns_hint(locator: dict) -> str:
    """The columns of data on disk, when one of lm-eval's tasks finds them wanting: its own words may not name any."""
    if not locator["data_files"] or locator["yaml_file"]:
        return ""
    from kbit.evaluation.text_tasks import column_names

    names = column_names(Path(locator["data_files"][0]))
    return f" (the columns are {', '.join(names)})" if names else ""


def task_manager(locator: dict) -> "TaskManager":
    """An index of the one folder that holds the task's definition. UserError if it is not there."""
    from lm_eval.tasks import TaskManager

    folder = Path(locator["yaml_file"]).parent if locator["yaml_file"] else find_folder(locator["name"])
    manager = TaskManager(include_path=folder, include_defaults=False) if folder else None
    if manager is None or locator["name"] not in manager.all_subtasks:
        where = locator["yaml_file"] or "lm-eval"
        raise UserError(f"{where} defines no task {locator['name']!r} (name of the task in tasks.yaml)")
    return manager


@cache
def find_folder(name: str) -> Path | None:
    """Where lm-eval's own definition of a task lies.

    Found by its text: lm-eval's index of all its tasks parses ten thousand files, about ten seconds of CPU time.
    """
    import lm_eval.tasks

    definition = re.compile(rf"^task: *['\"]?{re.escape(name)}['\"]? *(#.*)?$", re.MULTILINE)
    files = sorted(Path(lm_eval.tasks.__file__).parent.rglob("*.yaml"), key=Path.as_posix)
    return next((file.parent for file in files if definition.search(file.read_text(encoding="utf-8"))), None)


def find_overrides(locator: dict, manager: "TaskManager", scratch: Path) -> dict[str, object]:
    """Keys of the definition that say where its data lies, as they are to be here."""
    keys = definition_keys(locator, manager)
    if locator["yaml_file"]:
        return own_overrides(locator, keys, scratch)
    return hub_overrides(locator, keys) if locator["dataset"] else local_overrides(locator, keys, scratch)


def definition_keys(locator: dict, manager: "TaskManager | None" = None) -> dict[str, object]:
    """The keys of the task's definition, unevaluated."""
    manager = manager or task_manager(locator)
    return read_keys(locator["name"], Path(manager.task_index[locator["name"]].yaml_path))


def hub_overrides(locator: dict, keys: dict[str, object]) -> dict[str, object]:
    kwargs = hub_keywords(keys)
    return {
        **({} if keys.get("num_fewshot") else scored_split(locator, keys)),
        "dataset_path": data_folder(locator),
        **({"dataset_name": locator["dataset_name"]} if locator["dataset_name"] else {}),
        **({"dataset_kwargs": kwargs} if kwargs else {}),
    }


def data_keywords(locator: dict) -> dict[str, object]:
    """What `datasets.load_dataset` is given besides a place, for a task on the hub."""
    return text_keywords(locator) if "text" in locator else hub_keywords(definition_keys(locator))


def hub_keywords(keys: dict[str, object]) -> dict[str, object]:
    """What a definition says of its data besides the place; of data files, those of the split that is scored."""
    kwargs = defined_kwargs(keys)
    scored = next((keys[key] for key in SCORED if keys.get(key)), None)
    if not keys.get("num_fewshot") and scored in (kwargs.get("data_files") or ()):
        kwargs = {**kwargs, "data_files": {scored: kwargs["data_files"][scored]}}
    return kwargs


def text_keywords(locator: dict) -> dict[str, object]:
    """What the settings of a text say of its data besides place and split."""
    text = locator["text"]
    if not text["files"]:
        return {}
    # no_checks: the set's description counts the rows of all its files.
    return {"data_files": {text["split"]: text["files"]}, "verification_mode": "no_checks"}


def defined_kwargs(keys: dict[str, object]) -> dict[str, object]:
    """What a definition passes to `datasets.load_dataset`."""
    return keys.get("dataset_kwargs") or {}


def local_overrides(locator: dict, keys: dict[str, object], scratch: Path) -> dict[str, object]:
    """One of lm-eval's own tasks over files at hand, which take the place of the split that is scored."""
    if keys.get("num_fewshot"):
        raise UserError(
            f"task {locator['name']!r} has {keys['num_fewshot']} examples in its prompts, from a split of their own: "
            "data_files alone cannot say which is which, a yaml_file of your own can"
        )
    splits = scored_split(locator, keys)
    name = next(splits[key] for key in SCORED if splits[key])
    return {
        **splits,
        "dataset_path": loader_of(locator["data_files"][0]),
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {name: locator["data_files"]}, "cache_dir": str(scratch)},
    }


def scored_split(locator: dict, keys: dict[str, object]) -> dict[str, object]:
    """The split that lm-eval scores, and no other: without examples in the prompt it would read those for nothing."""
    scored = next((key for key in SCORED if keys.get(key)), None)
    if scored is None:
        raise UserError(f"task {locator['name']!r} has neither a test nor a validation split in lm-eval")
    others = dict.fromkeys(("training_split", "validation_split", "test_split", "fewshot_split"))
    return {**others, scored: keys[scored], "num_fewshot": 0}


def own_overrides(locator: dict, keys: dict[str, object], scratch: Path) -> dict[str, object]:
    """The definition names its data by file name alone; here the names become paths."""
    kwargs = defined_kwargs(keys)
    if "data_files" not in kwargs:
        raise UserError(f"task {locator['name']!r}: {locator['yaml_file']} names no dataset_kwargs.data_files")
    paths = {Path(file).name: file for file in locator["data_files"]}
    data_files = place_data_files(kwargs["data_files"], paths, locator)
    return {"dataset_kwargs": {**kwargs, "data_files": data_files, "cache_dir": str(scratch)}}


def place_data_files(named: object, paths: dict[str, str], locator: dict) -> object:
    if isinstance(named, dict):
        return {split: place_data_files(value, paths, locator) for split, value in named.items()}
    if isinstance(named, list):
        return [place_data_files(value, paths, locator) for value in named]
    path = paths.get(Path(str(named)).name)
    if path is None:
        listed = ", ".join(paths)
        raise UserError(
            f"task {locator['name']!r}: {locator['yaml_file']} names the data file {named!r}, "
            f"which is not among its data_files in tasks.yaml ({listed})"
        )
    return path


def check_task(task: "ConfigurableTask", locator: dict) -> None:
    """Only what can be scored as lm-eval would, and only what tasks.yaml says."""
    name, config = locator["name"], task.config
    accepted = OUTPUT_TYPES[locator["kind"]]
    if task.OUTPUT_TYPE not in accepted:
        raise UserError(
            f"task {name!r}: output_type {task.OUTPUT_TYPE!r} is not that of a {locator['kind']} task "
            f"({', '.join(accepted)})"
        )
    for key, unset in (
        ("filter_list", None),
        ("repeats", 1),
        ("unsafe_code", False),
        ("doc_to_image", None),
        ("doc_to_audio", None),
    ):
        if getattr(config, key) != unset:
            raise UserError(f"task {name!r} sets {key}, which is not supported")
    version = str((config.metadata or {}).get("version"))
    if version != locator["version"]:
        raise UserError(f"task {name!r} has version {version} in its definition and {locator['version']} in tasks.yaml")
    metrics = [*task.aggregation(), *(PERPLEXITY_METRICS if locator["kind"] == "perplexity" else ())]
    if locator["metric"] not in metrics:
        raise UserError(
            f"task {name!r} has no metric {locator['metric']!r}: it has {', '.join(metrics)} "
            "(metric of the task in tasks.yaml)"
        )
