"""The tasks of a study: what defines them (lm-eval, or YAML of one's own), their data, and what identifies them."""

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
from kbit.spec.text import TEXT_VERSION, TextConfig

Kind = Literal["zero-shot", "perplexity"]

DIVERGENCE_VERSION = 1
"""Raised when a divergence metric (kbit/evaluation/divergence.py) changes its meaning or its name."""

LOADERS = {".jsonl": "json", ".json": "json", ".jsonl.gz": "json", ".json.gz": "json", ".parquet": "parquet"}
"""The loader of `datasets` for local data of lm-eval's own tasks, by how a file's name ends."""
TEXT_SUFFIXES = (".txt", *LOADERS, ".jsonl.xz")
"""Local files that a text may stand in."""


class TaskEntry(Section):
    """One task of tasks.yaml: lm-eval's of that name; with yaml_file one of one's own; with text a plain text."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="The task's name in lm-eval, and ours.")
    kind: Kind = Field(description="zero-shot (accuracy counts in the mean) or perplexity (text is scored whole).")
    metric: str = Field(description="Headline metric: acc or acc_norm; for perplexity nats_per_token.")
    chance: float | None = Field(default=None, ge=0, lt=1, description="Accuracy of guessing; null for perplexity.")
    version: str = Field(description="lm-eval's version of the task (its metadata); of a text, any.")
    yaml_file: str | None = Field(default=None, description="Local lm-eval task YAML, relative to this file.")
    data_files: tuple[str, ...] = Field(
        default=(), description="Local data instead of a hub data set, relative to this file."
    )
    dataset: str | None = Field(default=None, description="Hub data set.")
    dataset_name: str | None = Field(default=None, description="Configuration of the hub data set.")
    revision: str | None = Field(default=None, description="Commit of the hub data set; `kbit pin` fills it.")
    text: TextConfig | None = Field(default=None, description="Read the data as plain text, by no lm-eval definition.")
    items: int | None = Field(default=None, gt=0, description="Items of the scored split, for the cost model.")
    tokens_per_item: int = Field(default=100, gt=0, description="Mean tokens scored per item, for the cost model.")
    label: str | None = Field(default=None, description="Name in figures; the task's name if absent.")

    @model_validator(mode="after")
    def check_source(self) -> "TaskEntry":
        if self.yaml_file is not None and not self.data_files:
            raise ValueError(f"task {self.name!r} has a yaml_file and needs its data_files")
        if bool(self.data_files) == (self.dataset is not None):
            raise ValueError(f"task {self.name!r} needs exactly one of dataset (on the hub) and data_files (local)")
        if self.dataset is None and (self.dataset_name or self.revision):
            raise ValueError(f"task {self.name!r}: dataset_name and revision are those of a dataset, which it has not")
        if self.text is not None:
            self.check_text(self.text)
        if (self.chance is None) != (self.kind == "perplexity"):
            raise ValueError(f"task {self.name!r}: chance is stated for zero-shot tasks, and only for them")
        return self

    def check_text(self, text: TextConfig) -> None:
        if self.kind != "perplexity":
            raise ValueError(f"task {self.name!r}: a text is scored whole, its kind is perplexity, not {self.kind}")
        if self.yaml_file is not None:
            raise ValueError(f"task {self.name!r} has both a yaml_file and text, which are two ways to define it")
        if self.metric not in text.metrics:
            raise ValueError(f"task {self.name!r}: metric {self.metric!r} is none of {', '.join(text.metrics)}")
        if self.dataset is not None and text.split is None:
            raise ValueError(f"task {self.name!r}: text of a dataset needs its split, such as test")
        if self.dataset is None and (text.split or text.files):
            raise ValueError(f"task {self.name!r}: split and files of a text are those of a dataset, which it has not")


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
    """Digest of what defines it (the local YAML and what it draws in, lm-eval's name, or the settings of a text) and of
    its data (the local files, or the revision of the data set)."""
    yaml_file: Path | None
    data_files: tuple[Path, ...]
    divergence: bool = False
    """Compare the model with its own 16-bit run, token by token; of perplexity tasks."""

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def kind(self) -> Kind:
        return self.entry.kind

    @cached_property
    def identity(self) -> str:
        """Digest of what may change a score: the items, and whether divergence is among the scores. 64 hex digits."""
        if not self.divergence:
            return self.items_identity
        return digest_json([self.items_identity, "divergence", DIVERGENCE_VERSION])

    @cached_property
    def items_identity(self) -> str:
        """Digest of what a model is asked: definition, version, data, item limit. 64 hex digits."""
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
            **({"text": self.entry.text.model_dump(mode="json")} if self.entry.text else {}),
        }


def resolve_task(entry: TaskEntry, item_limit: int | None, tasks_file: Path) -> Task:
    """Identify a task's definition and data. UserError when a file is missing, empty, or its lines are not JSON."""
    yaml_file = find_file(entry, entry.yaml_file, tasks_file) if entry.yaml_file else None
    data = tuple(find_file(entry, name, tasks_file) for name in entry.data_files)
    if yaml_file is None:
        check_suffixes(entry, tasks_file)
    for file in data:
        check_data(entry, file)
    definition = identify_own(entry, yaml_file, data) if yaml_file else identify_named(entry, data)
    return Task(entry, item_limit, definition, yaml_file, data)


def identify_named(entry: TaskEntry, data: tuple[Path, ...]) -> str:
    """Digest of a text or of one of lm-eval's tasks, with its data."""
    source = [entry.dataset, entry.dataset_name, entry.revision or "unpinned"]
    files = [digest_file(file) for file in data]
    if entry.text is not None:
        # The same bytes are one document under a .txt name, and a document a line under another.
        read_as = [
            f"txt {digest}" if file.suffix == ".txt" else digest for file, digest in zip(data, files, strict=True)
        ]
        return digest_json(["text", TEXT_VERSION, entry.name, entry.text.identity(), read_as or source])
    return digest_json(["lm-eval", entry.name, files] if files else [entry.name, *source])


def find_file(entry: TaskEntry, name: str, tasks_file: Path) -> Path:
    file = Path(tasks_file.parent, name).resolve()
    if not file.is_file():
        raise UserError(f"task {entry.name!r}: no file {file} (yaml_file and data_files of the task in {tasks_file})")
    return file


def check_suffixes(entry: TaskEntry, tasks_file: Path) -> None:
    """How local data is read is known by the names of its files; one of lm-eval's tasks takes one loader for all."""
    accepted = TEXT_SUFFIXES if entry.text else tuple(LOADERS)
    for name in entry.data_files:
        if not name.endswith(accepted):
            raise UserError(
                f"task {entry.name!r}: {name} is none of {', '.join(accepted)} (data_files of the task in {tasks_file})"
            )
    if entry.text is None and len({loader_of(name) for name in entry.data_files}) > 1:
        raise UserError(f"task {entry.name!r}: data_files are JSON lines or Parquet, not both (in {tasks_file})")


def loader_of(file: str) -> str:
    return next(loader for suffix, loader in LOADERS.items() if file.endswith(suffix))


def identify_own(entry: TaskEntry, yaml_file: Path, data: tuple[Path, ...]) -> str:
    definition = read_definition(entry.name, yaml_file)
    name = definition.content.get("task") if isinstance(definition.content, dict) else None
    if name != entry.name:
        raise UserError(f"task {entry.name!r}: {yaml_file} defines {name!r}; both names must be the same")
    return identify([yaml_file, *data], drawn_in(entry.name, definition))


def identify(files: list[Path], further: list[Path]) -> str:
    """Digest of a local task: its YAML and data, and whatever else its YAML draws in."""
    own = [digest_file(file) for file in files]
    return digest_json([*own, [digest_file(file) for file in further]] if further else own)


def check_data(entry: TaskEntry, file: Path) -> None:
    if file.stat().st_size == 0:
        raise UserError(f"task {entry.name!r}: {file} is empty")
    if file.suffix != ".jsonl":
        return
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            json.loads(line)
        except ValueError as error:
            raise UserError(f"task {entry.name!r}: line {number} of {file} is not JSON: {error}") from None
