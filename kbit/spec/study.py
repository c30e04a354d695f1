"""The study: a whole grid, one YAML, one report. Read and checked once, then frozen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from kbit.spec.calibration import CalibrationConfig, resolve_calibration
from kbit.spec.errors import UserError
from kbit.spec.grid import GridConfig
from kbit.spec.members import is_calibrated
from kbit.spec.models import Model, ModelsFile, resolve_model
from kbit.spec.published import Publication, read_publication
from kbit.spec.section import Section, load_section
from kbit.spec.tasks import Task, TaskEntry, TasksFile, resolve_task

Dtype = Literal["float32", "float16", "bfloat16"]


class TaskChoice(Section):
    """A task of the study; a bare name in YAML takes the study's item limit."""

    name: str = Field(description="Name of a task in tasks_files.")
    item_limit: int | None = Field(
        default=None, gt=0, description="Score the first so many items; overrides the study's."
    )
    divergence: bool = Field(
        default=False, description="Of a perplexity task: compare each model with its own 16-bit run, token by token."
    )


def choice_from_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class StudyConfig(Section):
    """What a user writes to describe a study."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Folder name of the study's tables and report.")
    title: str = Field(min_length=1, description="Title of the report.")
    models_files: tuple[str, ...] = Field(
        default=("models.yaml",), min_length=1, description="Data sheets of models, relative to this file."
    )
    tasks_files: tuple[str, ...] = Field(
        default=("tasks.yaml",), min_length=1, description="Lists of tasks, relative to this file."
    )
    published: tuple[str, ...] = Field(
        default=(), description="Descriptions of tables that others published, relative to this file."
    )
    models: tuple[str, ...] = Field(
        default=(),
        description="Model names; shell patterns such as pythia-* select several. Needed unless all is published.",
    )
    exclude_models: tuple[str, ...] = Field(default=(), description="Names or patterns taken out again.")
    tasks: tuple[
        Annotated[TaskChoice, BeforeValidator(choice_from_name, json_schema_input_type=str | TaskChoice)], ...
    ] = Field(default=(), description="Tasks every model is scored on. Needed with models.")
    item_limit: int | None = Field(
        default=None, gt=0, description="Score the first so many items of each task; null scores all."
    )
    outliers_task: str | None = Field(
        default=None, description="Perplexity task on whose text hidden units are looked at, for the table outliers."
    )
    dtype: Dtype | None = Field(
        default=None,
        description="Compute dtype; float16 and bfloat16 also set the dtype of the weights that are quantized. Needed "
        "with models.",
    )
    token_budget: int = Field(default=4096, gt=0, description="Tokens of one scoring batch.")
    baseline: bool = Field(default=True, description="Add the 16-bit control of every model.")
    calibration: CalibrationConfig | None = Field(
        default=None, description="Text that calibrated solvers are shown; they need it."
    )
    grids: tuple[GridConfig, ...] = Field(
        default=(), description="What is varied; a cell named by several grids is evaluated once."
    )

    @model_validator(mode="after")
    def check_models(self) -> "StudyConfig":
        """What is evaluated needs models, tasks and a dtype; a study of published tables alone has none of them."""
        needed = {"models": self.models, "tasks": self.tasks, "dtype": self.dtype}
        absent = [name for name, value in needed.items() if not value]
        if absent and (len(absent) < len(needed) or not self.published or self.grids):
            verb = "is" if len(absent) == 1 else "are"
            raise ValueError(f"{' and '.join(absent)} {verb} missing; only published tables alone need none of these")
        return self


@dataclass(frozen=True)
class Study:
    """A checked study: its config with models and tasks identified."""

    config: StudyConfig
    path: Path
    models: tuple[Model, ...]
    tasks: tuple[Task, ...]
    publications: tuple[Publication, ...] = ()

    @property
    def name(self) -> str:
        return self.config.name

    @cached_property
    def calibration(self) -> Task | None:
        """The text that solvers are calibrated on; None without one. UserError: it is needed, or cannot be read."""
        if self.config.calibration is not None:
            return resolve_calibration(self.config.calibration, read_tasks(self.config, self.path), self.path)
        for index, grid in enumerate(self.config.grids):
            for solver in filter(is_calibrated, grid.solvers):
                raise UserError(
                    f"solver {solver!r} (grids[{index}].solvers of {self.path}) needs a text to be calibrated on: "
                    "calibration: {text: a text of tasks_files, sequences: 128, length: 2048}"
                )
        return None


def load_study(path: Path) -> Study:
    """Read a study and everything it names. UserError for every mistake in it."""
    config = load_section(StudyConfig, path)
    models = select_models(config, path) if config.models else ()
    check_grid_patterns(config, models, path)
    tasks = select_tasks(config, path) if config.tasks else ()
    check_outliers_task(config, tasks, path)
    publications = tuple(read_publication(path.parent / name) for name in config.published)
    check_distinct_names(models, publications, path)
    return Study(config, path, models, tasks, publications)


def check_distinct_names(models: Sequence[Model], publications: Sequence[Publication], path: Path) -> None:
    """UserError if two publications, or two models of whatever source, have one name."""
    names = [publication.name for publication in publications]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"two published tables are named {twice!r} (published of {path})")
    origins = {model.name: "the study's models" for model in models}
    for publication in publications:
        for name in publication.models:
            if name in origins:
                raise UserError(
                    f"two models are named {name!r}, in {origins[name]} and in {publication.path}: "
                    f"give one another name (published of {path})"
                )
            origins[name] = str(publication.path)


def select_models(config: StudyConfig, path: Path) -> tuple[Model, ...]:
    entries = {}
    for name in config.models_files:
        data_sheet = path.parent / name
        for entry in load_section(ModelsFile, data_sheet).models:
            if entry.name in entries:
                raise UserError(f"two models are named {entry.name!r} ({entries[entry.name][1]} and {data_sheet})")
            entries[entry.name] = (entry, data_sheet)
    chosen = select_names(config.models, entries, f"models of {path}")
    excluded = set(select_names(config.exclude_models, entries, f"exclude_models of {path}"))
    models = tuple(resolve_model(*entries[name]) for name in chosen if name not in excluded)
    if not models:
        raise UserError(f"{path}: exclude_models leaves no model")
    check_distinct_weights(models, path)
    return models


def check_distinct_weights(models: Sequence[Model], path: Path) -> None:
    first: dict[str, str] = {}
    for model in models:
        if model.model_id in first:
            raise UserError(
                f"models {first[model.model_id]!r} and {model.name!r} have the same weights ({model.model_id}); "
                f"keep one in models of {path}"
            )
        first[model.model_id] = model.name


def select_names(patterns: Iterable[str], names: Iterable[str], where: str) -> list[str]:
    """Names that match any pattern, in the order of the data sheet. A pattern without a match is an error."""
    names = list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(f"{pattern!r} matches no model ({where}); the models are {', '.join(names)}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def check_outliers_task(config: StudyConfig, tasks: Sequence[Task], path: Path) -> None:
    texts = [task.name for task in tasks if task.kind == "perplexity"]
    if config.outliers_task is not None and config.outliers_task not in texts:
        listed = ", ".join(texts) or "of which it has none"
        raise UserError(
            f"{config.outliers_task!r} is not one of the study's perplexity tasks, {listed} (outliers_task of {path})"
        )


def check_grid_patterns(config: StudyConfig, models: Sequence[Model], path: Path) -> None:
    task_names = {choice.name for choice in config.tasks}
    for index, grid in enumerate(config.grids):
        select_names(grid.models, [model.name for model in models], f"grids[{index}].models of {path}")
        for name in grid.tasks or ():
            if name not in task_names:
                raise UserError(
                    f"{name!r} is not one of the study's tasks {', '.join(sorted(task_names))} "
                    f"(grids[{index}].tasks of {path})"
                )


def read_tasks(config: StudyConfig, path: Path) -> dict[str, tuple[TaskEntry, Path]]:
    """The entries of all tasks_files by name, and where each stands."""
    entries = {}
    for name in config.tasks_files:
        tasks_file = path.parent / name
        for entry in load_section(TasksFile, tasks_file).tasks:
            if entry.name in entries:
                raise UserError(f"two tasks are named {entry.name!r} ({entries[entry.name][1]} and {tasks_file})")
            entries[entry.name] = (entry, tasks_file)
    return entries


def select_tasks(config: StudyConfig, path: Path) -> tuple[Task, ...]:
    entries = read_tasks(config, path)
    tasks = []
    for choice in config.tasks:
        if choice.name not in entries:
            raise UserError(f"task {choice.name!r} is not one of {', '.join(entries)} (tasks of {path})")
        if choice.name in {task.name for task in tasks}:
            raise UserError(f"task {choice.name!r} is named twice (tasks of {path})")
        entry, tasks_file = entries[choice.name]
        if choice.divergence and entry.kind != "perplexity":
            raise UserError(
                f"task {choice.name!r} is {entry.kind}; divergence: true is for perplexity tasks (tasks of {path})"
            )
        task = resolve_task(entry, choice.item_limit or config.item_limit, tasks_file)
        tasks.append(replace(task, divergence=choice.divergence))
    return tuple(tasks)
