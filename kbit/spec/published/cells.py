"""From the lines of a published table to its cells: one per model, quantization and task, with all its metrics."""

import math
import re
from dataclasses import dataclass
from functools import cached_property

from kbit import __version__
from kbit.spec.digest import digest_json
from kbit.spec.errors import UserError
from kbit.spec.published.bits import PublishedBits, count_bits, state_bits
from kbit.spec.published.lines import Line
from kbit.spec.published.source import MetricRules, PublishedModel, PublishedTask, SourceConfig
from kbit.spec.quant import CONTROL
from kbit.spec.rows import SOURCE_PUBLISHED

IDENTITY_VERSION = 1
"""Raised when a cell's row is made of the same line in another way."""
WORD = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class PublishedSpec:
    """How a published model was quantized, in its publication's words: no promise that this software could do it."""

    slug: str
    data_type: str
    bits: int
    block_size: str | None
    solver: str | None

    @property
    def is_control(self) -> bool:
        return self.data_type == CONTROL.data_type


CONTROL_SPEC = PublishedSpec(CONTROL.slug, CONTROL.data_type, CONTROL.bits, None, None)


@dataclass(frozen=True)
class PublishedCell:
    """One row to be."""

    publication: str
    model: PublishedModel
    task: PublishedTask
    spec: PublishedSpec
    bits: PublishedBits
    metrics: dict[str, tuple[float, float | None]]
    """Name -> value, standard error."""
    where: str
    """The line that named it first."""

    @property
    def model_id(self) -> str:
        """Nobody else knows the weights: the publication, and what its table calls the model."""
        return f"published:{self.publication}:{self.model.label}"

    @cached_property
    def cell_id(self) -> str:
        """Digest of what the row says, 32 hex digits: another number is another cell."""
        return digest_json(["published", IDENTITY_VERSION, self.content()])[:32]

    def content(self) -> dict[str, object]:
        """The columns of the row that come from the table and its description."""
        return {
            "source": SOURCE_PUBLISHED,
            "publication": self.publication,
            "model_id": self.model_id,
            "spec": self.spec.slug,
            "data_type": self.spec.data_type,
            "bits": self.spec.bits,
            "block_size": self.spec.block_size,
            "solver": self.spec.solver,
            "task": self.task.name,
            "metrics": [
                {"name": name, "value": value, "stderr": stderr, "n": self.task.items}
                for name, (value, stderr) in sorted(self.metrics.items())
            ],
            "bits_per_param": self.bits.bits_per_param,
            "body_bits": self.bits.body_bits,
            "total_bits": self.bits.total_bits,
            "quantized_parameters": self.model.quantized_parameters,
            "parameters": self.model.parameters,
            "n_items": self.task.items,
        }

    def to_row(self) -> dict[str, object]:
        """The row as `kbit.store` writes it; columns that are not named are null."""
        return {
            **self.content(),
            "cell_id": self.cell_id,
            "task_identity": digest_json(["published", self.publication, self.task.label]),
            "centered": CONTROL.centered,
            "outlier_fraction": CONTROL.outlier_fraction,
            "rotation": CONTROL.rotation,
            "status": "ok",
            "kbit_version": __version__,
        }


class CellBuilder:
    """Collects the lines of one table into cells."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self.models = {model.label: model for model in config.models}
        self.tasks = {task.label: task for task in config.tasks}
        self.cells: dict[tuple[str, str, str], PublishedCell] = {}
        self._stated: dict[tuple[str, str, str, str], str] = {}

    def add(self, line: Line) -> None:
        """Take in one line. UserError if it says something that the description does not know, or contradicts one."""
        model = self._find(self.models, line.text(self.config.model, "model"), "models", line)
        task = self._find(self.tasks, line.text(self.config.task, "task"), "tasks", line)
        spec = self._spec(line)
        key = (model.label, spec.slug, task.label)
        cell = PublishedCell(self.config.name, model, task, spec, self._bits(line, model, spec), {}, line.where)
        cell = self.cells.setdefault(key, cell)
        for index, rules in enumerate(self.config.metrics):
            name = line.text(rules.name, f"metrics[{index}].name")
            measured = self._measure(line, rules, index, task)
            known = cell.metrics.setdefault(name, measured)
            first = self._stated.setdefault((*key, name), line.where)
            if known != measured:
                raise UserError(
                    f"{line.where}: {name} of {model.label}, {spec.slug}, {task.label} is {measured[0]:g}, "
                    f"but {known[0]:g} in {first}"
                )

    def _find(self, entries: dict, label: str, kind: str, line: Line) -> PublishedModel | PublishedTask:
        if label not in entries:
            raise UserError(f"{line.where}: {label!r} is not one of {', '.join(entries)} (labels of {kind})")
        return entries[label]

    def _spec(self, line: Line) -> PublishedSpec:
        rules = self.config.spec
        bits = line.whole(rules.bits, "spec.bits")
        if bits == CONTROL.bits:
            return CONTROL_SPEC
        data_type, block_size, solver = (self._word(line, name) for name in ("data_type", "block_size", "solver"))
        if not block_size.isdecimal() and block_size not in ("row", "tensor"):
            raise UserError(f"{line.where}: block_size {block_size!r} is not a number, row or tensor (spec.block_size)")
        name = self._word(line, "name") if rules.name else f"{data_type}{bits}-{granularity(block_size)}"
        return PublishedSpec(name if solver == "rtn" else f"{name}-{solver}", data_type, bits, block_size, solver)

    def _word(self, line: Line, name: str) -> str:
        """A part of a slug: small letters, digits, dots, hyphens."""
        text = line.text(getattr(self.config.spec, name), f"spec.{name}").lower().replace(" ", "-")
        if not WORD.fullmatch(text):
            raise UserError(f"{line.where}: {text!r} is no word of letters, digits, . _ and - (spec.{name})")
        return text

    def _bits(self, line: Line, model: PublishedModel, spec: PublishedSpec) -> PublishedBits:
        if self.config.total_bits is not None:
            return state_bits(model, round(line.number(self.config.total_bits, "total_bits")))
        return count_bits(model, spec.bits, spec.block_size)

    def _measure(self, line: Line, rules: MetricRules, index: int, task: PublishedTask) -> tuple[float, float | None]:
        """Value and standard error of a metric."""
        value = line.number(rules.value, f"metrics[{index}].value")
        if rules.stderr is not None:
            return value, line.number(rules.stderr, f"metrics[{index}].stderr")
        if not rules.binomial:
            return value, None
        if task.items is None or not 0 <= value <= 1:
            raise UserError(
                f"{line.where}: {value:g} is no share of known items, as metrics[{index}].binomial needs: "
                f"a share lies in 0 to 1, and the task {task.label!r} states its items"
            )
        return value, math.sqrt(value * (1 - value) / (task.items - 1))


def granularity(block_size: str) -> str:
    return f"b{block_size}" if block_size.isdecimal() else block_size
