"""`kbit prune`: what nobody needs, listed; with --yes, removed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from kbit.spec.errors import UserError
from kbit.spec.notes import note
from kbit.store.head import hold_results, read_holder
from kbit.upkeep.prune import Item, Pruned, Pruning, plan_pruning, prune
from kbit.upkeep.slurm import SNAKEMAKE_LOCKS, read_queue
from kbit.upkeep.studies import plan_studies

PATHS_SHOWN = 8


def prune_results(
    studies: Sequence[Path], without: Sequence[Path], yes: bool, idle_hours: float, as_json: bool
) -> None:
    """List what can go, or remove it. UserError while a run, or a Slurm job of an earlier one, may be at work."""
    plans = plan_studies(studies, without)
    kept = [str(plan.study.path) for plan in plans]
    if not yes:
        tell(kept, plan_pruning(plans, idle_hours), None, as_json)
        return
    refuse_hand_started()
    refuse_orphans()
    with hold_results("kbit prune"):
        pruning, done = plan_pruning(plans, idle_hours), Pruned()
        try:
            prune(pruning, done)
        finally:
            # Also of one that was stopped: what it did is done.
            tell(kept, pruning, done, as_json)


def refuse_hand_started() -> None:
    """UserError while Snakemake's own lock is there and no `kbit run` left it: its study need not be in config/."""
    if any(SNAKEMAKE_LOCKS.glob("*.lock")) and not read_holder():
        raise UserError(
            f"Snakemake's lock ({SNAKEMAKE_LOCKS}/) is held by one started by hand, alive or dead: wait for it; "
            "if none runs, `kbit doctor` says how to unlock"
        )


def refuse_orphans() -> None:
    """UserError if jobs whose head died may still write."""
    queue = read_queue()
    if queue.orphans:
        raise UserError(f"{len(queue.orphans)} Slurm jobs of an earlier head are not done: `kbit doctor` lists them")
    if queue.silence:
        # Not among the output, which may be JSON.
        note(f"Slurm's queue is unknown ({queue.silence}); journals of other machines count as used for --idle-hours")


def tell(kept: Sequence[str], pruning: Pruning, pruned: Pruned | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summarize(kept, pruning, pruned), indent=2, default=str))
        return
    print(f"kept for: {', '.join(kept)}")
    for line in lines_of(pruning):
        print(line)
    if pruned is not None:
        print(closing_line(pruned))
    elif pruning.items or pruning.merges:
        print("Nothing is removed yet: `kbit prune --yes` does it.")
    else:
        print("Nothing to prune.")


def lines_of(pruning: Pruning) -> Iterator[str]:
    for kind, group in groupby(pruning.items, key=lambda item: item.kind):
        items: list[Item] = list(group)
        yield f"{kind}: {len(items):,} ({in_words(sum(item.bytes for item in items))})"
        yield from (f"    {item.path}" for item in items[:PATHS_SHOWN])
        if len(items) > PATHS_SHOWN:
            yield f"    and {len(items) - PATHS_SHOWN:,} more (--json lists all)"
    if pruning.merges:
        journals = sum(merge.journals for merge in pruning.merges)
        total = in_words(sum(merge.bytes for merge in pruning.merges))
        yield f"journals to merge: {journals:,} of {len(pruning.merges):,} models ({total}); every row stays"
    if pruning.busy:
        yield f"journals left alone, since one of their model may be in use: {', '.join(pruning.busy)}"


def closing_line(pruned: Pruned) -> str:
    text = f"Pruned: {pruned.dropped:,} files and folders, {in_words(pruned.bytes)} free"
    if pruned.merged:
        text += f"; {pruned.merged:,} journals became {len(pruned.models_merged):,}"
    if pruned.rows_journaled:
        text += f"; {pruned.rows_journaled:,} rows that stood in no journal were journaled"
    return text


def in_words(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def summarize(kept: Sequence[str], pruning: Pruning, pruned: Pruned | None) -> dict[str, object]:
    return {
        "kept_for": list(kept),
        "items": [asdict(item) for item in pruning.items],
        "merges": [asdict(merge) for merge in pruning.merges],
        "in_use": list(pruning.busy),
        "done": None if pruned is None else asdict(pruned),
    }
