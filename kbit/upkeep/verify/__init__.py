"""Everything in a results folder against what it says of itself: schema, checksums, keys, rows of one cell.

One file per kind of thing; each check yields what it finds, and nothing for what is as it should be.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from kbit.upkeep import inventory
from kbit.upkeep.finding import Finding
from kbit.upkeep.verify.journals import check_journal
from kbit.upkeep.verify.leftovers import check_leftovers
from kbit.upkeep.verify.parts import check_part
from kbit.upkeep.verify.published import check_published_part
from kbit.upkeep.verify.records import Records
from kbit.upkeep.verify.requests import check_requests_file
from kbit.upkeep.verify.shard_files import check_shard_file
from kbit.upkeep.verify.times import check_times


def files_to_read() -> list[Path]:
    """What `verify_results` reads."""
    parts = [*inventory.parts(), *inventory.published_parts()]
    return [*inventory.journals(), *parts, *inventory.shard_files(), *inventory.requests_files()]


def verify_results(counts: Counter[str], was_read: Callable[[Path], None] = lambda _path: None) -> Iterator[Finding]:
    """Findings on all there is; `counts` takes in how many things of each kind were looked at.

    Reads every byte, once, and calls `was_read` after each file; needs no study. One model at a time, so that memory
    holds the digests of one model's rows.
    """
    for model in inventory.model_folders():
        records = Records(model)
        for journal in inventory.journals(model):
            counts["journals"] += 1
            yield from check_journal(journal, records)
            was_read(journal)
        counts["rows in journals"] += records.n_rows
        for part in inventory.parts(model):
            counts["parts"] += 1
            yield from check_part(part, records)
            was_read(part)
        counts["rows in parts"] += records.n_copies
        yield from records.findings()
    for part in inventory.published_parts():
        counts["published tables"] += 1
        yield from check_published_part(part)
        was_read(part)
    for shard in inventory.shard_files():
        counts["shard files"] += 1
        yield from check_shard_file(shard)
        was_read(shard)
    for requests in inventory.requests_files():
        counts["requests files"] += 1
        yield from check_requests_file(requests)
        was_read(requests)
    yield from check_times()
    yield from check_leftovers()
