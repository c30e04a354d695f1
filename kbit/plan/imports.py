"""The imports of a study: one per published table, each a part of rows that nobody here has measured."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kbit.spec.cell import shard_key
from kbit.spec.published import Publication, PublishedCell
from kbit.store.paths import published_path


@dataclass(frozen=True, eq=False)
class Import:
    """A published table that becomes a part."""

    publication: Publication

    @property
    def cells(self) -> tuple[PublishedCell, ...]:
        return self.publication.cells

    @cached_property
    def key(self) -> str:
        """Digest of the cells, and so of every number in them."""
        return shard_key(cell.cell_id for cell in self.cells)

    @cached_property
    def part(self) -> Path:
        return published_path(self.publication.name, self.key)

    @property
    def inputs(self) -> list[Path]:
        """The description first, then the table."""
        return [self.publication.path, self.publication.file]

    @property
    def presented(self) -> list[list[object]]:
        """How the description presents models and tasks: what is no part of a row."""
        config = self.publication.config
        models = [[model.label, model.name, model.family, model.tokens_seen] for model in config.models]
        tasks = [[task.label, task.name, task.kind, task.metric, task.chance, task.title] for task in config.tasks]
        return [[config.name, config.title], *models, *tasks]
