"""The description of a published table: which file it is, what its columns mean, which models and tasks it is about.

Every value of a row comes from a rule: a column of the table, or a constant; the text that a pattern finds in it; what
that stands for. Nothing is guessed: a text without a meaning is an error.
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator, model_validator

from kbit.spec.section import Section
from kbit.spec.tasks import Kind

Scalar = str | int | float


def rule_from_column(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


class ValueRule(Section):
    """Where one value comes from. A bare word in YAML is the name of a column."""

    column: str | None = Field(default=None, description="Column of the table.")
    constant: Scalar | None = Field(default=None, description="The same value in every line, instead of a column.")
    pattern: str | None = Field(
        default=None, description="Regular expression: what its first group finds in the text is taken."
    )
    values: dict[str, Scalar] = Field(
        default_factory=dict, description="What each text stands for; one that is not named here is an error."
    )
    factor: float = Field(default=1.0, gt=0, description="Numbers are multiplied by it: 0.01 for percent.")
    log: bool = Field(default=False, description="Take the natural logarithm: a perplexity becomes nats.")

    @field_validator("pattern")
    @classmethod
    def check_pattern(cls, pattern: str | None) -> str | None:
        try:
            groups = 1 if pattern is None else re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from None
        if groups < 1:
            raise ValueError(f"pattern {pattern!r} has no group in parentheses, whose text would be taken")
        return pattern

    @model_validator(mode="after")
    def check_origin(self) -> "ValueRule":
        if (self.column is None) == (self.constant is None):
            raise ValueError("a value needs exactly one of column and constant")
        return self


Rule = Annotated[ValueRule, BeforeValidator(rule_from_column, json_schema_input_type=str | ValueRule)]


class SpecRules(Section):
    """How the model was quantized, line by line. 16 bits are the 16-bit control, whatever the others say."""

    bits: Rule = Field(description="Width k of a code as the publication states it.")
    data_type: Rule = Field(description="Kind of codebook, in a word of yours.")
    block_size: Rule = Field(description="Weights per scale: a number, row or tensor.")
    solver: Rule = Field(
        default=ValueRule(constant="rtn"), description="How codes are chosen: rtn, gptq, awq, …; part of the slug."
    )
    name: Rule | None = Field(
        default=None, description="Slug without the solver; made of data type, bits and block size if absent."
    )


class MetricRules(Section):
    """One metric of a line; a table with a line per metric names it by a column."""

    name: Rule = Field(description="Name of the metric: acc, acc_norm, perplexity, nats_per_token, …")
    value: Rule = Field(description="Its value, in the unit of its name: shares, not percent.")
    stderr: Rule | None = Field(default=None, description="Its standard error, in the same unit.")
    binomial: bool = Field(
        default=False,
        description="The table has no standard errors: take √(p (1 − p) / (n − 1)) of the task's n items.",
    )

    @model_validator(mode="after")
    def check_error(self) -> "MetricRules":
        if self.stderr is not None and self.binomial:
            raise ValueError("a metric has either stderr or binomial")
        return self


class PublishedModel(Section):
    """A model of the table."""

    label: str = Field(min_length=1, description="What the table calls it.")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Unique name, shown in tables and figures.")
    family: str = Field(min_length=1, description="Models that differ in size alone share a family.")
    parameters: int = Field(gt=0, description="All parameters, tied tensors once.")
    quantized_parameters: int | None = Field(
        default=None,
        gt=0,
        description="Weights of the linear layers that were quantized; the others count 16 bits. Absent: all were.",
    )
    quantized_rows: int | None = Field(
        default=None, gt=0, description="Rows of these layers together: what one scale per row costs. Absent: nothing."
    )
    tokens_seen: int | None = Field(default=None, gt=0, description="Tokens the model was trained on.")


class PublishedTask(Section):
    """A task of the table."""

    label: str = Field(min_length=1, description="What the table calls it.")
    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Its name here; lm-eval's where it is one of these."
    )
    kind: Kind = Field(description="zero-shot (counts in the mean accuracy) or perplexity.")
    metric: str = Field(description="Headline metric: acc or acc_norm; for perplexity nats_per_token.")
    chance: float | None = Field(default=None, ge=0, lt=1, description="Accuracy of guessing; null for perplexity.")
    items: int | None = Field(default=None, gt=1, description="Items, where known.")
    title: str | None = Field(default=None, description="Name in figures; the task's name if absent.")

    @model_validator(mode="after")
    def check_chance(self) -> "PublishedTask":
        if (self.chance is None) != (self.kind == "perplexity"):
            raise ValueError(f"task {self.name!r}: chance is stated for zero-shot tasks, and only for them")
        return self


class SourceConfig(Section):
    """A published table and what it means."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name of the publication in rows and files.")
    title: str = Field(min_length=1, description="Who published what.")
    url: str = Field(min_length=1, description="Where it was taken from.")
    licence: str = Field(min_length=1, description="Under which licence it may be passed on.")
    file: str = Field(description="The table: CSV with a header line, UTF-8, relative to this file.")
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="What separates its columns.")
    where: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Column -> texts: lines with another text are left out."
    )
    model: Rule = Field(description="The model, as a label of `models`.")
    task: Rule = Field(description="The task, as a label of `tasks`.")
    spec: SpecRules = Field(description="How it was quantized.")
    metrics: tuple[MetricRules, ...] = Field(min_length=1, description="What was measured.")
    total_bits: Rule | None = Field(
        default=None, description="Bits of everything stored; counted from the model's parameters if absent."
    )
    models: tuple[PublishedModel, ...] = Field(min_length=1, description="The models.")
    tasks: tuple[PublishedTask, ...] = Field(min_length=1, description="The tasks.")

    @model_validator(mode="after")
    def check_labels(self) -> "SourceConfig":
        for kind, entries in (("models", self.models), ("tasks", self.tasks)):
            for key in ("label", "name"):
                named = [getattr(entry, key) for entry in entries]
                if twice := next((text for text in named if named.count(text) > 1), None):
                    raise ValueError(f"{kind} have the {key} {twice!r} twice")
        return self
