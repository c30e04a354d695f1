"""Temporary files whose writer is gone."""

from collections.abc import Iterator
from pathlib import Path

from kbit.store.writers import IDLE_HOURS, may_be_written
from kbit.upkeep import inventory
from kbit.upkeep.finding import Finding


def leftovers(idle_hours: float = IDLE_HOURS) -> list[Path]:
    return [path for path in inventory.temporaries() if not may_be_written(path, idle_hours)]


def check_leftovers() -> Iterator[Finding]:
    for path in leftovers():
        yield Finding("problem", f"{path} was left by a writer that died", "kbit prune --yes")
