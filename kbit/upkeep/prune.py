"""What can go: files that no study has a use for, leftovers of dead writers, and journals that can be merged.

Rows never go: journals are merged line by line, and what a part alone holds is journaled before it is dropped.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kbit.plan.plan import Plan
from kbit.spec.errors import UserError
from kbit.store.compaction import are_worth_merging, compact_journals, idle_journals
from kbit.store.journal import JournalScan
from kbit.store.paths import RESULTS, journal_folder
from kbit.store.writers import IDLE_HOURS
from kbit.upkeep import inventory
from kbit.upkeep.studies import needed_files, own_folder
from kbit.upkeep.traces import unneeded_traces
from kbit.upkeep.verify.leftovers import leftovers

PARTS = "parts"


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
        idle = idle_journals(journal_folder(model), idle_hours)
        if are_worth_merging(idle):
            merges.append(Merge(model, len(idle), total_bytes(idle)))
        elif not idle and len(inventory.journals(model)) > 1:
            busy.append(model)
    return Pruning(items, merges, busy, idle_hours)


def unneeded_files(plans: Iterable[Plan]) -> list[Item]:
    """Shared files that no study names, and what was said and measured while they were made."""
    plans = list(plans)
    needed: set[Path] = set().union(*map(needed_files, plans))
    traces = unneeded_traces(plans)
    listed = {
        PARTS: inventory.parts(),
        "published tables": inventory.published_parts(),
        "shard files": inventory.shard_files(),
        "requests": inventory.requests_files(),
        "hidden units": inventory.outliers_files(),
        "models and data sets": inventory.hub_files(),
    }
    items = [
        Item(kind, path, inventory.size(path)) for kind, paths in listed.items() for path in paths if path not in needed
    ]
    return [*items, *(Item("logs and benchmarks", path, inventory.size(path)) for path in traces)]


def unneeded_studies(plans: Iterable[Plan]) -> list[Item]:
    """Tables, fits and logs of studies that are none of these."""
    kept = {own_folder(plan) for plan in plans}
    return [
        Item("tables of a study", folder, total_bytes(folder.rglob("*")))
        for folder in inventory.study_folders()
        if folder not in kept
    ]


def dead_leftovers(idle_hours: float) -> list[Item]:
    return [Item("leftovers", path, inventory.size(path)) for path in leftovers(idle_hours)]


def prune(pruning: Pruning, done: Pruned) -> None:
    """Do it, and tell in `done` how far it came. UserError at the first thing that cannot be done."""
    scans = {model: JournalScan(journal_folder(model)) for model in inventory.model_folders()}
    # First what needs no room, since the disk may be full.
    only_place = [item for item in pruning.items if not removed(item, scans, done)]
    # Before the last parts: the journal that their rows go into is this process's own, which counts as in use.
    for merge in pruning.merges:
        if compaction := compact_journals(journal_folder(merge.model), pruning.idle_hours):
            done.merged += compaction.journals
            done.models_merged.append(merge.model)
            done.bytes += compaction.bytes_before - compaction.bytes_after
    for item in only_place:
        done.rows_journaled += drop_with_rows(item.path, scans)
        count_removed(item, done)


def removed(item: Item, scans: Mapping[str, JournalScan], done: Pruned) -> bool:
    """Remove one thing, unless it is a part with rows that stand nowhere else. UserError if it cannot be removed."""
    if item.kind != PARTS:
        remove(item.path)
    elif not drop_if_copy(item.path, scans):
        return False
    count_removed(item, done)
    return True


def drop_if_copy(part: Path, scans: Mapping[str, JournalScan]) -> bool:
    from kbit.store.drop import drop_copy  # not above: listing needs no polars

    return drop_copy(part, scans[part.parent.name])


def drop_with_rows(part: Path, scans: Mapping[str, JournalScan]) -> int:
    """Returns the rows that were journaled for it."""
    from kbit.store.drop import drop_part

    return drop_part(part, scans[part.parent.name])


def remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be removed: {error.strerror or error}") from None


def count_removed(item: Item, done: Pruned) -> None:
    done.dropped += 1
    done.bytes += item.bytes
    remove_if_empty(item.path.parent)


def remove_if_empty(folder: Path) -> None:
    """The folder of a model that has nothing left; a study's may have gone before what was left in it."""
    if RESULTS in folder.parent.parents and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def total_bytes(paths: Iterable[Path]) -> int:
    return sum(inventory.size(path) for path in paths if path.is_file())
