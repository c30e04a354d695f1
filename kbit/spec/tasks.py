"""The tasks of a study: lm-eval's tasks, or task YAML with local data, and what identifies them."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from kbit.spec.definition import drawn_in, read_definition
from kbit.spec.digest import digest_file, digest_json
from kbit.spec.errors import UserError
from kbit.spec.section import Section

Kind = Literal["zero-shot", "perplexity"]


class TaskEntry(Section):
    """One task of tasks.yaml."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="The task's name in lm-eval, and ours.")
    kind: Kind = Field(description="zero-shot (accuracy counts in the mean) or perplexity (text is scored whole).")
    metric: str = Field(description="Headline metric: acc or acc_norm; for perplexity nats_per_token.")
    chance: float | None = Field(default=None, ge=0, lt=1, description="Accuracy of guessing; null for perplexity.")
    version: str = Field(description="lm-eval's version of the task (its metadata).")
    yaml_file: str | None = Field(default=None, description="Local lm-eval task YAML, relative to this file.")
    data_files: tuple[str, ...] = Field(default=(), description="Local data files, relative to this file.")
    dataset: str | None = Field(default=None, description="Hub data set of an lm-eval task.")
    dataset_name: str | None = Field(default=None, description="Configuration of the hub data set.")
    revision: str | None = Field(default=None, description="Commit of the hub data set; `kbit pin` fills it.")
    items: int | None = Field(default=None, gt=0, description="Items of the scored split, for the cost model.")
    tokens_per_item: int = Field(default=100, gt=0, description="Mean tokens scored per item, for the cost model.")
    label: str | None = Field(default=None, description="Name in figures; the task's name if absent.")

    @model_validator(mode="after")
    def check_source(self) -> "TaskEntry":
        if (self.yaml_file is None) == (self.dataset is None):
            raise ValueError(f"task {self.name!r} needs exactly one of yaml_file (with data_files) and dataset")
        if self.yaml_file is not None and not self.data_files:
            raise ValueError(f"task {self.name!r} has a yaml_file and needs its data_files")
        if (self.chance is None) != (self.kind == "perplexity"):
            raise ValueError(f"task {self.name!r}: chance is stated for zero-shot tasks, and only for them")
        return self


class TasksFile(Section):
    """A list of tasks."""

    tasks: tuple[TaskEntry, ...] = Field(min_length=1, description="The tasks a study can name.")


@dataclass(frozen=True)
class Task:
    """A task of a study: its definition and data identified, its items limited."""

    entry: TaskEntry
    item_limit: int | None
    """Score the first so many items; None scores all."""
    definition: str
    """Digest of the local YAML, its data and what it draws in; or of lm-eval's name and the data set's revision."""
    yaml_file: Path | None
    data_files: tuple[Path, ...]

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def kind(self) -> Kind:
        return self.entry.kind

    @cached_property
    def identity(self) -> str:
        """Digest of what may change a score: definition, version, data, item limit. 64 hex digits."""
        return digest_json([self.definition, self.entry.version, self.item_limit])

    @property
    def items(self) -> int:
        """Items scored, as far as the plan knows (the data sheet's count, cut at the limit)."""
        known = self.entry.items or self.item_limit or 1000
        return min(known, self.item_limit or known)

    def locator(self) -> dict[str, object]:
        """What building the requests needs: plain JSON."""
        return {
            **self.entry.model_dump(
                mode="json", include={"name", "kind", "metric", "version", "dataset", "dataset_name", "revision"}
            ),
            "yaml_file": str(self.yaml_file) if self.yaml_file else None,
            "data_files": [str(file) for file in self.data_files],
            "item_limit": self.item_limit,
        }


def resolve_task(entry: TaskEntry, item_limit: int | None, tasks_file: Path) -> Task:
    """Identify a task's definition and data. UserError when a file is missing or its lines are not JSON."""
    if entry.yaml_file is None:
        definition = digest_json([entry.name, entry.dataset, entry.dataset_name, entry.revision or "unpinned"])
        return Task(entry, item_limit, definition, None, ())
    files = [Path(tasks_file.parent, name).resolve() for name in (entry.yaml_file, *entry.data_files)]
    for file in files:
        if not file.is_file():
            raise UserError(
                f"task {entry.name!r}: no file {file} (yaml_file and data_files of the task in {tasks_file})"
            )
    definition = read_definition(entry.name, files[0])
    name = definition.content.get("task") if isinstance(definition.content, dict) else None
    if name != entry.name:
        raise UserError(f"task {entry.name!r}: {files[0]} defines {name!r}; both names must be the same")
    for file in files[1:]:
        check_json_lines(entry, file)
    identity = identify(files, drawn_in(entry.name, definition))
    return Task(entry, item_limit, identity, files[0], tuple(files[1:]))


def identify(files: list[Path], further: list[Path]) -> str:
    """Digest of a local task: its YAML and data, and whatever else its YAML draws in."""
    own = [digest_file(file) for file in files]
    return digest_json([*own, [digest_file(file) for file in further]] if further else own)


def check_json_lines(entry: TaskEntry, file: Path) -> None:
    if file.suffix != ".jsonl":
        return
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            json.loads(line)
        except ValueError as error:
            raise UserError(f"task {entry.name!r}: line {number} of {file} is not JSON: {error}") from None
