"""How far a study is: from its parts, the journals, the logs, who holds the folder, and Slurm's queue. Never waits."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kbit.plan.plan import Plan
from kbit.plan.shards import Shard
from kbit.spec.errors import UserError
from kbit.spec.models import Model
from kbit.store.head import read_holder, run_is_alive
from kbit.store.paths import journal_folder, shard_log_path
from kbit.upkeep.slurm import Job, Queue, read_queue
from kbit.upkeep.tracks import Failure, Track, read_track

COUNTED = ("cells", "done", "running", "queued", "failed", "to_do")
"""A model's cells, and what they are: the others add up to the first."""
FAILURE_COLUMNS = ("cell_id", "task", "spec", "error", "started_at", "host")
"""Of a row, as the fields of Failure."""
JOB_ERRORS = 20
"""Logs that are looked into."""
LOG_BYTES = 4096
"""Of a log's end."""


@dataclass
class ModelStatus:
    """The cells of one model: each is counted once."""

    model: str
    cells: int = 0
    done: int = 0
    running: int = 0
    """Begun, and somebody is at it."""
    queued: int = 0
    """In a job that runs or waits."""
    failed: int = 0
    """Tried, left a failed row: tried again when its shard runs, at the latest after `kbit retry`."""
    to_do: int = 0
    """Nobody is about to evaluate them."""
    statuses: Counter[str] = field(default_factory=Counter)
    """Of the cells that are done."""
    cells_per_second: float = 0.0
    """Of the writers at work, together."""
    failures: list[Failure] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """Parts that cannot be read."""

    @property
    def seconds_left(self) -> float | None:
        """At the present rate; None without one."""
        left = self.cells - self.done
        return left / self.cells_per_second if left and self.cells_per_second else None


@dataclass(frozen=True, slots=True)
class JobError:
    """The last word of a job that left no part and does not run."""

    shard: str
    log: str
    said: str
    at: datetime


@dataclass(frozen=True)
class StudyStatus:
    """A study as it stands."""

    models: Sequence[ModelStatus]
    head: str
    """Who holds the results folder, or held it when it died; empty if nobody."""
    head_is_alive: bool
    queue: Queue
    jobs: Sequence[tuple[str, Job]]
    """Slurm jobs of this study's shards: model/slice.key and the job."""
    job_errors: Sequence[JobError]

    def total(self) -> ModelStatus:
        """All models in one."""
        total = ModelStatus("all")
        for model in self.models:
            for name in (*COUNTED, "cells_per_second"):
                setattr(total, name, getattr(total, name) + getattr(model, name))
            total.statuses.update(model.statuses)
            total.failures.extend(model.failures)
            total.damaged.extend(model.damaged)
        return total


def study_status(plan: Plan) -> StudyStatus:
    """Where a study stands now."""
    queue, head_is_alive = read_queue(), run_is_alive()
    jobs = match_jobs(plan, queue.jobs)
    models = {model: ModelStatus(model.name) for model in dict.fromkeys(shard.model for shard in plan.shards)}
    without_part = [shard for shard in plan.shards if not count_part(models[shard.model], shard)]
    # Journals are left unread where every shard has its part.
    unfinished = dict.fromkeys(shard.model for shard in without_part)
    tracks = {model: model_track(model, jobs, queue) for model in unfinished}
    at_work = {(model, writer.shard) for model, track in tracks.items() for writer in track.writers}
    ended = []
    for shard in without_part:
        has_job = shard in jobs or (shard.model, shard_name(shard)) in at_work
        count_missing(models[shard.model], shard, tracks[shard.model], has_job or head_is_alive)
        if not has_job:
            ended.append(shard)
    for model, track in tracks.items():
        models[model].cells_per_second = sum(writer.rate for writer in track.writers)
    named = [(f"{shard.model.name}/{shard_name(shard)}", job) for shard, job in jobs.items()]
    return StudyStatus(list(models.values()), read_holder(), head_is_alive, queue, named, job_errors(ended))


def match_jobs(plan: Plan, jobs: Iterable[Job]) -> dict[Shard, Job]:
    """Shards that stand in Slurm's queue; the comment names model, slice and key."""
    by_comment = {job.comment: job for job in jobs}
    comments = {shard: "_".join(["rule_evaluate_wildcards", *names_of(shard)]) for shard in plan.shards}
    return {shard: by_comment[comment] for shard, comment in comments.items() if comment in by_comment}


def names_of(shard: Shard) -> tuple[str, str, str]:
    """Model, slice and key, as in every path of a shard."""
    return shard.model.slug, shard.slice_name, shard.key


def shard_name(shard: Shard) -> str:
    return f"{shard.slice_name}.{shard.key}"


def model_track(model: Model, jobs: Mapping[Shard, Job], queue: Queue) -> Track:
    """What the model's journals say."""
    running = frozenset(shard_name(shard) for shard, job in jobs.items() if shard.model == model and job.runs)
    was_asked = not queue.silence and (queue.jobs or queue.current)
    return read_track(journal_folder(model.slug), running if was_asked else None)


def count_part(status: ModelStatus, shard: Shard) -> bool:
    """Count the cells of a shard by its part; False, and none counted, if there is none that can be read."""
    if not shard.part.exists():
        return False
    import polars as pl  # not above: a study without a part needs none

    from kbit.store.parts import read_part

    try:
        statuses = Counter(read_part(shard.part, ["status"])["status"])
        if n_failed := statuses.pop("failed", 0):
            frame = read_part(shard.part, ["status", *FAILURE_COLUMNS]).filter(pl.col("status") == "failed")
            rows = frame.select(FAILURE_COLUMNS).rows()
            status.failures += [Failure(*(value or "" for value in row)) for row in rows]
    except UserError as error:
        status.damaged.append(str(error))
        return False
    status.cells += len(shard.cells)
    status.failed += n_failed
    status.done += statuses.total()
    status.statuses.update(statuses)
    return True


def count_missing(status: ModelStatus, shard: Shard, track: Track, is_queued: bool) -> None:
    """Count the cells of a shard without a part, by what the journals say."""
    status.cells += len(shard.cells)
    for cell_id in (cell.cell_id for cell in shard.cells):
        if cell_id in track.finished:
            status.done += 1
            status.statuses[track.finished[cell_id]] += 1
        elif cell_id in track.running:
            status.running += 1
        elif cell_id in track.failed:
            status.failed += 1
            status.failures.append(track.failure(cell_id))
        elif is_queued:
            status.queued += 1
        else:
            status.to_do += 1


def job_errors(shards: Iterable[Shard]) -> list[JobError]:
    """What jobs that have ended without a part said last, the latest first."""
    found = [(log, shard) for shard in shards if (log := shard_log_path(*names_of(shard))).exists()]
    found.sort(key=lambda pair: pair[0].stat().st_mtime, reverse=True)
    errors = []
    for log, shard in found[:JOB_ERRORS]:
        if lines := tail(log):
            said = next((line for line in reversed(lines) if line.startswith("kbit: ")), lines[-1])
            at = datetime.fromtimestamp(log.stat().st_mtime, UTC)
            errors.append(JobError(f"{shard.model.name}/{shard_name(shard)}", str(log), said, at))
    return errors


def tail(log: Path) -> list[str]:
    """The last lines of a log that are not blank."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LOG_BYTES))
        text = stream.read().decode("utf-8", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]
