"""Files dated in the future: whatever is made of them looks outdated for as long, and is made again each time."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from shlex import quote

from kbit.upkeep import inventory
from kbit.upkeep.finding import Finding

SLACK_SECONDS = 60
"""Clocks of a cluster's machines may differ by so much."""


def check_times() -> Iterator[Finding]:
    """Parts, shard files, requests and tables."""
    tables = (path for folder in inventory.study_folders() for path in sorted(folder.rglob("*.parquet")))
    limit = time.time() + SLACK_SECONDS
    for path in (*inventory.parts(), *inventory.shard_files(), *inventory.requests_files(), *tables):
        if (dated := inventory.modified(path)) > limit:
            date = datetime.fromtimestamp(dated, UTC)
            yield Finding(
                "problem", f"{path} is dated in the future ({date:%Y-%m-%d %H:%M} UTC)", f"touch {quote(str(path))}"
            )
