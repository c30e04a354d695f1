"""Parts of a study that hold failed rows: without them, their cells are tried again."""

from collections.abc import Iterator
from dataclasses import dataclass

from kbit.plan.plan import Plan
from kbit.plan.shards import Shard
from kbit.store.journal import JournalScan
from kbit.store.parts import read_part
from kbit.store.paths import journal_folder


@dataclass(frozen=True, slots=True)
class Failures:
    """A part with failed rows."""

    shard: Shard
    errors: tuple[str, ...]
    """The error of each failed row."""


def find_failures(plan: Plan) -> Iterator[Failures]:
    """The plan's parts that hold failed rows. UserError for a part that cannot be read."""
    for shard in plan.shards:
        if not shard.part.exists():
            continue
        frame = read_part(shard.part, ["status", "error"])
        failed = frame.filter(frame["status"] == "failed")["error"]
        if len(failed):
            yield Failures(shard, tuple(error or "" for error in failed))


def drop_parts(failures: list[Failures]) -> int:
    """Drop the parts; their final rows stay. Returns the number of cells that are tried again."""
    from kbit.store.drop import drop_part

    scans: dict[str, JournalScan] = {}
    for failure in failures:
        model = failure.shard.model.slug
        drop_part(failure.shard.part, scans.setdefault(model, JournalScan(journal_folder(model))))
    return sum(len(failure.errors) for failure in failures)
