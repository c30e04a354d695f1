"""What of a shard is still missing: cells without a final row in its part or in the model's journals."""

from pathlib import Path

from kbit.plan.shards import Shard
from kbit.store.journal import JournalScan
from kbit.store.paths import journal_folder

_scans: dict[Path, JournalScan] = {}
"""One scan per model and process; it reads only what was appended since it last looked."""


class FinishedCells:
    """Cells with a final row in a journal, of each model as it stands when it is first asked for.

    A model has a journal for every attempt at every shard of it: looking at them all again for each of its shards
    would be hundreds of times hundreds of files on a shared file system.
    """

    def __init__(self) -> None:
        self._of_model: dict[Path, frozenset[str]] = {}

    def of_model(self, slug: str) -> frozenset[str]:
        """Ids of the model's finished cells."""
        folder = journal_folder(slug)
        if folder not in self._of_model:
            scan = _scans.setdefault(folder, JournalScan(folder))
            self._of_model[folder] = frozenset(scan.finished_cells())
        return self._of_model[folder]


def missing_cells(shard: Shard, finished: FinishedCells) -> list[str]:
    """Ids of the shard's cells that its job would still evaluate."""
    if shard.part.exists():
        return []
    known = finished.of_model(shard.model.slug)
    return [cell.cell_id for cell in shard.cells if cell.cell_id not in known]
