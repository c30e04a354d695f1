"""What of a shard is still missing: cells without a final row in its part or in the model's journals."""

from pathlib import Path

from kbit.plan.shards import Shard
from kbit.store.journal import JournalScan
from kbit.store.paths import journal_folder

_scans: dict[Path, JournalScan] = {}
"""One scan per model and process; it reads only what was appended since it last looked."""


def missing_cells(shard: Shard) -> list[str]:
    """Ids of the shard's cells that its job would still evaluate."""
    if shard.part.exists():
        return []
    folder = journal_folder(shard.model.slug)
    finished = _scans.setdefault(folder, JournalScan(folder)).finished_cells()
    return [cell.cell_id for cell in shard.cells if cell.cell_id not in finished]


def count_missing(shard: Shard) -> int:
    return len(missing_cells(shard))
