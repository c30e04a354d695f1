"""Workers that the kernel kills at the memory limit of their Slurm job: no crash, as the next attempt has more.

Their cells are left to it: the job ends with an error, Snakemake submits it again, and it goes on from its journals,
where every such death is noted. A cell that died so in two jobs that had no less than this one is `crashed` for it,
without being tried again, so that a cell that fits nowhere does not keep a study from its end. Elsewhere than on Slurm,
or without control groups, a death is a death.
"""

import os
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from kbit.evaluation.process import Ending
from kbit.evaluation.provenance import utc_now
from kbit.models.control_groups import count_oom_kills, memory_limits
from kbit.spec.errors import UserError
from kbit.store.journal import JournalWriter, new_journal_path
from kbit.store.paths import journal_folder
from kbit.store.shard_file import ShardCell, ShardFile

DEATHS_IN_VAIN = 2
SYSTEM = Path("/")
"""The root of /proc and /sys."""


class MemoryDeaths:
    """Those of one job."""

    def __init__(self, shard: ShardFile) -> None:
        self.shard = shard
        self.limit = job_limit()
        self.cells: dict[str, ShardCell] = {}
        """Cells at which a worker died so, by id."""
        self._kills = 0

    def watch(self) -> None:
        """A worker is about to be started."""
        self._kills = count_oom_kills(SYSTEM)

    def struck(self, ending: Ending) -> bool:
        """Whether that worker died for want of memory."""
        is_killed = self.limit is not None and ending.code == -signal.SIGKILL
        return is_killed and count_oom_kills(SYSTEM) > self._kills

    def note(self, cell: ShardCell, start: Mapping[str, object]) -> None:
        """Leave a cell to a job with more memory. `start`: the details of its start."""
        print(f"{name_of(cell)}: out of memory at {megabytes(self.limit)}", file=sys.stderr, flush=True)
        note = {"died_at": utc_now(), "memory_limit_bytes": self.limit, "start": start}
        with JournalWriter(new_journal_path(journal_folder(self.shard.model), self.shard.name)) as journal:
            journal.death(cell.cell_id, note)
        self.cells[cell.cell_id] = cell

    def in_vain(self, notes: Iterable[Mapping[str, object]]) -> list[Mapping[str, object]]:
        """Of the notes on a cell those that make trying it in this job pointless; none if it should be tried."""
        if self.limit is None:
            return []
        vain = [note for note in notes if note["memory_limit_bytes"] >= self.limit]
        return vain if len(vain) >= DEATHS_IN_VAIN else []

    def error(self) -> UserError:
        """Why the job ends."""
        names = [name_of(cell) for cell in self.cells.values()]
        more = "; ..." if len(names) > 1 else ""
        where = f"at {len(names)} of its cells ({names[0]}{more})" if names else "before its first cell"
        return UserError(
            f"shard {self.shard.name}: out of memory {where}: the kernel killed its worker at this job's limit of "
            f"{megabytes(self.limit)}; its next attempt asks for more, as does a larger mem_mb of the rule evaluate"
        )


def job_limit() -> float | None:
    """Bytes that control groups allow this Slurm job; None where there is no limit that another attempt may exceed."""
    return min(memory_limits(SYSTEM), default=None) if "SLURM_JOB_ID" in os.environ else None


def name_of(cell: ShardCell) -> str:
    return f"{cell.spec.slug}, {cell.task}"


def megabytes(size: float) -> str:
    """As Slurm and Snakemake count them in mem_mb."""
    return f"{size / 2**20:,.0f} MB"
