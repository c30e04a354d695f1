"""One job: a row for every cell of a shard, from the journals where they have it, from workers where not.

Torch-free: when nothing is left to evaluate, the part is rebuilt in a moment.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from kbit.evaluation.gpus import check_listed
from kbit.evaluation.part_metadata import part_metadata
from kbit.evaluation.provenance import utc_now
from kbit.evaluation.supervisor import Supervisor
from kbit.spec.calibration import CALIBRATION
from kbit.spec.errors import UserError
from kbit.spec.rows import FINAL_STATUSES
from kbit.store.journal import JournalState, read_journals
from kbit.store.parts import part_rows, read_part, write_part
from kbit.store.paths import journal_folder, locator_path, requests_path
from kbit.store.shard_file import ShardCell, ShardFile, read_shard

WORKER = (sys.executable, "-m", "kbit.evaluation.worker")


@dataclass(frozen=True, slots=True)
class ShardOutcome:
    """What a job did."""

    cells: int
    evaluated: int
    """Cells this job evaluated; the others were taken over."""
    statuses: Counter[str]
    bad_lines: int
    """Torn or corrupted journal lines that were skipped."""

    def __str__(self) -> str:
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        return f"{self.cells} cells ({statuses}): {self.evaluated} evaluated, {self.cells - self.evaluated} taken over"


def run_shard(
    shard_file: Path,
    part: Path,
    threads: int,
    device: str = "auto",
    trust_remote_code: bool = False,
    device_memory_gb: float | None = None,
    gpus: int = 0,
    worker_command: Sequence[str] = WORKER,
) -> ShardOutcome:
    """Write the part of a shard. Final rows that exist are taken over, the other cells evaluated.

    trust_remote_code: run code that comes with the model's files; every row says so. device_memory_gb: GB of the
    device to use at most; None: what is free. gpus: how many were planned, no more are used; 0: what there is.
    UserError for a shard, model, task or node at fault: no part is written, the journal keeps what was finished.
    """
    began_at = utc_now()
    shard = read_shard(shard_file)
    known = take_over(shard, part)
    missing = [cell for cell in shard.cells if cell.cell_id not in known.rows]
    rows = dict(known.rows)
    if missing:
        check_inputs(shard, missing)
        if device != "cpu":
            check_listed(gpus)
        job = {
            "shard": str(shard_file),
            "threads": threads,
            "device": device,
            "gpus": gpus,
            "trust_remote_code": trust_remote_code,
            "device_memory_gb": device_memory_gb,
        }
        supervisor = Supervisor(shard, job, worker_command)
        rows |= supervisor.evaluate(missing, known)
    chosen = [rows[cell.cell_id] for cell in shard.cells]
    write_part(chosen, part, part_metadata(shard, shard_file, chosen, began_at))
    outcome = ShardOutcome(
        len(chosen), len(missing), Counter(row["status"] for row in chosen), sum(known.bad_lines.values())
    )
    print(outcome, file=sys.stderr, flush=True)
    return outcome


def take_over(shard: ShardFile, part: Path) -> JournalState:
    """What is known of the shard's cells: from all journals of its model, then from the model's readable parts."""
    wanted = {cell.cell_id for cell in shard.cells}
    known = read_journals(journal_folder(shard.model), wanted)
    for path, count in known.bad_lines.items():
        print(f"journal {path}: {count} torn or corrupted lines skipped", file=sys.stderr, flush=True)
    for path in sorted(part.parent.glob("*.parquet")):
        if wanted <= known.rows.keys():
            break
        take_over_part(known, path, wanted)
    return known


def take_over_part(known: JournalState, path: Path, wanted: set[str]) -> None:
    """Add a part's final rows of cells that are still wanted; a part that cannot be read is named and passed over."""
    try:
        # Most parts of a model hold other cells, and samples are most of a part.
        if not is_wanted(read_part(path, ["cell_id", "status"]), known, wanted).any():
            return
        frame = read_part(path)
    except UserError as error:
        print(f"passed over: {error}", file=sys.stderr, flush=True)
        return
    chosen = frame.filter(is_wanted(frame, known, wanted))
    known.rows.update({row["cell_id"]: row for row in part_rows(chosen)})


def is_wanted(frame: pl.DataFrame, known: JournalState, wanted: set[str]) -> pl.Series:
    """Of each row: final, and of a cell that is still wanted."""
    return frame["cell_id"].is_in(wanted - known.rows.keys()) & frame["status"].is_in(FINAL_STATUSES)


def check_inputs(shard: ShardFile, missing: Sequence[ShardCell]) -> None:
    """UserError, before a worker is started, for a file it would not find."""
    paths = [locator_path(shard.model), *(requests_path(cell.task, cell.requests) for cell in missing)]
    paths += [requests_path(CALIBRATION, cell.calibration) for cell in missing if cell.calibration]
    for path in dict.fromkeys(paths):
        if not path.is_file():
            raise UserError(f"no file {path}, which shard {shard.name} needs; the study's run makes it")
