"""Files dated in the future: whatever is made of them looks outdated for as long, and is made again each time."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from shlex import quote

from kbit.upkeep import inventory
from kbit.upkeep.finding import Finding

SLACK_SECONDS = 60
"""Clocks of a cluster's machines may differ by so much."""


def check_times() -> Iterator[Finding]:
    """Parts, shard files, requests and tables; and journals, which prune would take for ones in use for as long."""
    tables = (path for folder in inventory.study_folders() for path in sorted(folder.rglob("*.parquet")))
    limit = time.time() + SLACK_SECONDS
    dated = (inventory.journals(), inventory.parts(), inventory.shard_files(), inventory.requests_files(), tables)
    for path in chain.from_iterable(dated):
        if (modified := inventory.modified(path)) > limit:
            date = datetime.fromtimestamp(modified, UTC)
            yield Finding(
                "problem", f"{path} is dated in the future ({date:%Y-%m-%d %H:%M} UTC)", f"touch {quote(str(path))}"
            )
