"""Published tables: numbers that others measured, described in YAML, as cells. Torch-free, read while planning.

How to describe one: docs/importing-results.md.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kbit.spec.errors import UserError
from kbit.spec.published.cells import CellBuilder, PublishedCell
from kbit.spec.published.lines import read_lines
from kbit.spec.published.source import SourceConfig
from kbit.spec.section import load_section

__all__ = ["Publication", "PublishedCell", "SourceConfig", "read_publication"]


@dataclass(frozen=True)
class Publication:
    """A published table, read."""

    config: SourceConfig
    path: Path
    """Its description."""
    cells: tuple[PublishedCell, ...]
    n_lines: int
    """Lines of the table that were taken in."""

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def file(self) -> Path:
        return self.path.parent / self.config.file

    @cached_property
    def models(self) -> list[str]:
        """Names of the models that have a cell, in the order of the description."""
        named = {cell.model.name for cell in self.cells}
        return [model.name for model in self.config.models if model.name in named]


def read_publication(path: Path) -> Publication:
    """Read a description and its table. UserError for every mistake in either, with the file and the line."""
    config = load_section(SourceConfig, path)
    builder, n_lines = CellBuilder(config), 0
    for line in read_lines(config, path.parent / config.file):
        builder.add(line)
        n_lines += 1
    if not n_lines:
        raise UserError(f"{path.parent / config.file} has no line that `where` keeps ({path})")
    return Publication(config, path, tuple(builder.cells.values()), n_lines)
