"""What was seen of each cell of a model: rows in journals, which are the record, and in parts, which are copies."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from kbit.upkeep.finding import Finding

SCORES = ("status", "metrics", "samples", "greedy")
"""Columns that are the outcome; the others say where it comes from."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row as its digests."""

    row: bytes
    scores: bytes

    @classmethod
    def of(cls, encoded: Mapping[str, object]) -> "Outcome":
        """Of a row as `kbit.store.rows.encode_row` gives it."""
        return cls(digest(encoded), digest({name: encoded.get(name) for name in SCORES}))


def digest(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()


@dataclass
class Records:
    """Of one model."""

    model: str
    """Its folder."""
    n_rows: int = 0
    n_copies: int = 0
    journaled: dict[str, list[Outcome]] = field(default_factory=dict)
    """Different final rows of a cell in journals, in the order of reading: the first counts."""
    copied: dict[str, tuple[Outcome, Path]] = field(default_factory=dict)
    """The row of a cell in the first part that has it."""
    unjournaled: dict[Path, int] = field(default_factory=dict)
    """Final rows of a part that stand in no journal."""

    def add_row(self, cell_id: str, outcome: Outcome) -> None:
        """A final row of a journal."""
        self.n_rows += 1
        outcomes = self.journaled.setdefault(cell_id, [])
        if outcome not in outcomes:
            outcomes.append(outcome)

    def add_copy(self, cell_id: str, outcome: Outcome, part: Path) -> str:
        """A final row of a part; returns what is wrong with it, or nothing."""
        self.n_copies += 1
        known = self.journaled.get(cell_id)
        if known is None:
            self.unjournaled[part] = self.unjournaled.get(part, 0) + 1
        elif outcome.row not in {one.row for one in known}:
            return "each differs from the row of its cell in the journal"
        first, where = self.copied.setdefault(cell_id, (outcome, part))
        if first.scores != outcome.scores:
            return f"each contradicts the row of its cell in {where}"
        return ""

    def findings(self) -> Iterator[Finding]:
        """What only the whole shows."""
        for part, count in self.unjournaled.items():
            yield Finding("note", f"part {part}: {count} of its rows stand in no journal; it is their only place")
        several = [outcomes for outcomes in self.journaled.values() if len(outcomes) > 1]
        unequal = sum(len({outcome.scores for outcome in outcomes}) > 1 for outcomes in several)
        if several:
            yield Finding(
                "note",
                f"journals of {self.model}: {len(several)} cells were evaluated more than once, {unequal} of them with "
                "other scores (two machines may differ); the first row counts",
            )


def drop(path: Path) -> str:
    """The command that drops a file."""
    return f"rm {quote(str(path))}"
