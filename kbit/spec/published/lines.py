"""The lines of a published table, and the values that the rules of its description take from them."""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from kbit.spec.errors import UserError
from kbit.spec.published.source import SourceConfig, ValueRule


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    texts: Mapping[str, str]
    """Column -> text."""
    where: str
    """File and number, for messages."""

    def text(self, rule: ValueRule, key: str) -> str:
        """The value of a rule as text. UserError, naming `key` of the description, if the line has none."""
        if rule.constant is not None:
            text = str(rule.constant)
        else:
            text = self.texts[rule.column].strip()
        if rule.pattern is not None:
            found = re.search(rule.pattern, text)
            if not found or found[1] is None:
                raise UserError(f"{self.where}: {text!r} does not match the pattern {rule.pattern} ({key})")
            text = found[1]
        if rule.values and text not in rule.values:
            raise UserError(f"{self.where}: {text!r} is not one of {', '.join(rule.values)} (values of {key})")
        return str(rule.values.get(text, text))

    def number(self, rule: ValueRule, key: str) -> float:
        """The value of a rule as a finite number. UserError if it is none."""
        text = self.text(rule, key)
        try:
            # In decimals, as printed: 75.68 percent are 0.7568.
            number = float(Decimal(text) * Decimal(repr(rule.factor)))
        except InvalidOperation:
            raise UserError(f"{self.where}: {text!r} is not a number ({key})") from None
        if rule.log and number > 0:
            number = math.log(number)
        elif rule.log or not math.isfinite(number):
            raise UserError(f"{self.where}: {text} has no finite {'logarithm' if rule.log else 'value'} ({key})")
        return number

    def whole(self, rule: ValueRule, key: str) -> int:
        """The value of a rule as a whole number above 0."""
        number = self.number(rule, key)
        if number < 1 or number != round(number):
            raise UserError(f"{self.where}: {number:g} is not a whole number above 0 ({key})")
        return round(number)


def read_lines(config: SourceConfig, path: Path) -> Iterator[Line]:
    """The table's lines that `where` keeps. UserError: no such file, another encoding, a column or a field missing."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter=config.delimiter, strict=True)
            check_columns(config, reader.fieldnames or [], path)
            for texts in reader:
                where = f"{path} line {reader.line_num}"
                if None in texts or None in texts.values():
                    raise UserError(f"{where} has not the {len(reader.fieldnames or [])} fields of the header line")
                if all(texts[column].strip() in kept for column, kept in config.where.items()):
                    yield Line(texts, where)
    except FileNotFoundError:
        raise UserError(f"no file {path} (file of the published table {config.name!r})") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}") from None


def check_columns(config: SourceConfig, columns: object, path: Path) -> None:
    """UserError if a rule names a column that the table has not."""
    known = list(columns)
    for key, rule in named_rules(config):
        if rule.column is not None and rule.column not in known:
            raise UserError(f"{path} has no column {rule.column!r} ({key}); its columns are {', '.join(known)}")
    for column in config.where:
        if column not in known:
            raise UserError(f"{path} has no column {column!r} (where); its columns are {', '.join(known)}")


def named_rules(config: SourceConfig) -> Iterator[tuple[str, ValueRule]]:
    """Every rule of a description under its key."""
    yield from (("model", config.model), ("task", config.task))
    if config.total_bits is not None:
        yield "total_bits", config.total_bits
    for name in ("bits", "data_type", "block_size", "solver", "name"):
        if (rule := getattr(config.spec, name)) is not None:
            yield f"spec.{name}", rule
    for index, metric in enumerate(config.metrics):
        for name in ("name", "value", "stderr"):
            if (rule := getattr(metric, name)) is not None:
                yield f"metrics[{index}].{name}", rule
