"""The base of everything a user writes in YAML: frozen, closed to unknown keys, read with one clear error."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from kbit.spec.errors import UserError


class Section(BaseModel):
    """A part of a config file. Unknown keys are errors; a loaded section never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Section)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML has it, in a tenth of the time: every Slurm job reads the study again."""


def read_yaml(path: Path) -> object:
    """What a YAML file holds; None if it is empty. UserError if there is none, or it is not YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except FileNotFoundError:
        raise UserError(f"no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def load_section(kind: type[S], path: Path) -> S:
    """Read a YAML file into `kind`. UserError names the file, the place in it, the value and what is accepted."""
    content = read_yaml(path)
    if content is None:
        raise UserError(f"{path} is empty")
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not the mapping of a {kind.__name__}")
    return parse_section(kind, content, str(path))


def parse_section(kind: type[S], content: dict, where: str) -> S:
    """Validate a mapping into `kind`; `where` is named in the error."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UserError(describe(error, kind, where)) from None


def describe(error: ValidationError, kind: type[Section], where: str) -> str:
    """The first problem of a validation error as one line, and how many more there are."""
    problems = list(distinct_problems(error.errors(include_url=False)))
    first = problems[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    if first["type"] == "extra_forbidden":
        message = f"unknown key {first['loc'][-1]!r}: accepted here are {', '.join(accepted_keys(kind, first['loc']))}"
    elif first["type"] == "missing":
        message = "is missing"
    elif first["type"] == "value_error":
        message = str(first["ctx"]["error"])
    else:
        message = f"{first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}: {place}{': ' if place else ''}{message}{more}"


def distinct_problems(problems: Sequence[Mapping]) -> Iterator[Mapping]:
    """Without the complaint that a list is too short when it is so because an item of it was refused."""
    for problem in problems:
        inner = [other for other in problems if other["loc"][: len(problem["loc"])] == problem["loc"]]
        if problem["type"] != "too_short" or len(inner) == 1:
            yield problem


def accepted_keys(kind: type[Section], location: tuple) -> list[str]:
    """The keys of the section in which the last part of `location` stands."""
    section: object = kind
    for part in location[:-1]:
        if isinstance(part, str) and isinstance(section, type) and part in getattr(section, "model_fields", {}):
            section = inner_section(section.model_fields[part].annotation)
    return sorted(getattr(section, "model_fields", {}))


def inner_section(annotation: object) -> object:
    """The Section inside an annotation such as list[GridConfig] or Inner | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := inner_section(argument)) is not None:
            return found
    return None
