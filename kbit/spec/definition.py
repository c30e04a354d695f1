"""The YAML that defines a local task: read without running it, and the files that it draws in."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from kbit.spec.errors import UserError


@dataclass(frozen=True)
class Definition:
    """One YAML file of a task."""

    file: Path
    content: object
    functions: tuple[str, ...]
    """What its `!function` tags name: module.function."""

    @property
    def includes(self) -> tuple[Path, ...]:
        """The YAML files it takes keys from, relative to it as for lm-eval."""
        named = self.content.get("include", []) if isinstance(self.content, dict) else []
        return tuple(self.file.parent / str(name) for name in (named if isinstance(named, list) else [named]))

    @property
    def function_files(self) -> tuple[Path, ...]:
        """The Python files of its functions. lm-eval takes a module that has none there from what is installed."""
        modules = (function.rpartition(".")[0].replace(".", "/") for function in self.functions)
        files = (self.file.parent / f"{module}.py" for module in modules)
        return tuple(file for file in files if file.is_file())


class DefinitionLoader(yaml.SafeLoader):
    """Notes `!function` tags instead of importing what they name."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.functions: list[str] = []

    def note_function(self, node: yaml.ScalarNode) -> str:
        name = self.construct_scalar(node)
        self.functions.append(name)
        return f"!function {name}"


DefinitionLoader.add_constructor("!function", DefinitionLoader.note_function)


def read_definition(task: str, file: Path) -> Definition:
    """UserError, naming the task, if the file is not YAML."""
    try:
        loader = DefinitionLoader(file.read_text(encoding="utf-8"))
        content = loader.get_single_data()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"task {task!r}: {file} is not YAML: {' '.join(str(error).split())}") from None
    return Definition(file, content, tuple(loader.functions))


def read_keys(task: str, file: Path) -> dict[str, object]:
    """The keys of a definition, those it includes beneath its own, as lm-eval merges them. UserError as above."""
    definition = read_definition(task, file)
    if not isinstance(definition.content, dict):
        raise UserError(f"task {task!r}: {file} is not a mapping of keys")
    included = [read_keys(task, include) for include in definition.includes]
    return {key: value for content in [*included, definition.content] for key, value in content.items()}


def drawn_in(task: str, definition: Definition) -> list[Path]:
    """Every other file that a definition is made of, sorted: YAML it includes, Python files of its functions.

    What those Python files import in turn is not followed. UserError: an included file is missing or not YAML.
    """
    found: set[Path] = set()
    waiting = [definition]
    while waiting:
        current = waiting.pop()
        found.update(file.resolve() for file in current.function_files)
        for file in current.includes:
            if not file.is_file():
                raise UserError(f"task {task!r}: no file {file} (include of {current.file})")
            if file.resolve() not in found:
                found.add(file.resolve())
                waiting.append(read_definition(task, file.resolve()))
    return sorted(found - {definition.file})
