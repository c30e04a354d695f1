"""What can go: files that no study has a use for, leftovers of dead writers, and journals that can be merged.

Rows never go: journals are merged line by line, and what a part alone holds is journaled before it is dropped.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kbit.plan.plan import Plan
from kbit.spec.errors import UserError
from kbit.store.compaction import compact_journals, idle_journals
from kbit.store.paths import RESULTS, journal_folder
from kbit.store.writers import IDLE_HOURS
from kbit.upkeep import inventory
from kbit.upkeep.studies import needed_files, own_folder
from kbit.upkeep.verify.leftovers import leftovers


@dataclass(frozen=True, slots=True)
class Item:
    """A file or folder that can go."""

    kind: str
    path: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class Merge:
    """Journals of one model that can become one."""

    model: str
    """Its folder."""
    journals: int
    bytes: int


@dataclass(frozen=True)
class Pruning:
    """What a prune would do."""

    items: Sequence[Item]
    merges: Sequence[Merge]
    busy: Sequence[str]
    """Models with several journals of which one may still be written."""
    idle_hours: float


@dataclass
class Pruned:
    """What a prune did."""

    dropped: int = 0
    bytes: int = 0
    """That are free now."""
    rows_journaled: int = 0
    """Rows of dropped parts that stood in no journal."""
    merged: int = 0
    """Journals that became part of another."""
    models_merged: list[str] = field(default_factory=list)


def plan_pruning(plans: Sequence[Plan], idle_hours: float = IDLE_HOURS) -> Pruning:
    """What can go when the results of these studies are kept, and only theirs."""
    items = [*unneeded_files(plans), *unneeded_studies(plans), *dead_leftovers(idle_hours)]
    merges, busy = [], []
    for model in inventory.model_folders():
        if len(inventory.journals(model)) < 2:
            continue
        if idle := idle_journals(journal_folder(model), idle_hours):
            merges.append(Merge(model, len(idle), total_bytes(idle)))
        else:
            busy.append(model)
    return Pruning(items, merges, busy, idle_hours)


def unneeded_files(plans: Iterable[Plan]) -> list[Item]:
    """Shared files that no study names."""
    needed: set[Path] = set().union(*map(needed_files, plans))
    listed = {
        "parts": inventory.parts(),
        "shard files": inventory.shard_files(),
        "requests": inventory.requests_files(),
        "models and data sets": inventory.hub_files(),
    }
    return [Item(kind, path, size(path)) for kind, paths in listed.items() for path in paths if path not in needed]


def unneeded_studies(plans: Iterable[Plan]) -> list[Item]:
    """Tables, fits and logs of studies that are none of these."""
    kept = {own_folder(plan) for plan in plans}
    return [
        Item("tables of a study", folder, total_bytes(folder.rglob("*")))
        for folder in inventory.study_folders()
        if folder not in kept
    ]


def dead_leftovers(idle_hours: float) -> list[Item]:
    return [Item("leftovers", path, size(path)) for path in leftovers(idle_hours)]


def prune(pruning: Pruning) -> Pruned:
    """Do it. UserError at the first thing that cannot be done; what was done before is whole."""
    done = Pruned()
    # Before the parts: the journal that a part's last rows go into is this process's own, which counts as in use.
    for merge in pruning.merges:
        if compaction := compact_journals(journal_folder(merge.model), pruning.idle_hours):
            done.merged += compaction.journals
            done.models_merged.append(merge.model)
            done.bytes += compaction.bytes_before - compaction.bytes_after
    for item in pruning.items:
        done.rows_journaled += drop(item)
        done.dropped += 1
        done.bytes += item.bytes
    return done


def drop(item: Item) -> int:
    """Remove one thing; returns the rows that had to be journaled for it. UserError if that cannot be done."""
    try:
        return remove(item)
    except OSError as error:
        raise UserError(f"{item.path} cannot be removed: {error.strerror or error}") from None


def remove(item: Item) -> int:
    if item.kind == "parts":
        from kbit.store.drop import drop_part  # brings polars

        rows = drop_part(item.path)
    elif item.path.is_dir():
        shutil.rmtree(item.path)
        return 0
    else:
        item.path.unlink(missing_ok=True)
        rows = 0
    remove_if_empty(item.path.parent)
    return rows


def remove_if_empty(folder: Path) -> None:
    """The folder of a model that has nothing left."""
    if folder.parent.parent == RESULTS and not any(folder.iterdir()):
        folder.rmdir()


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def total_bytes(paths: Iterable[Path]) -> int:
    return sum(size(path) for path in paths if path.is_file())
