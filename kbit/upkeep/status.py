"""How far a study is: from its parts, the journals, the logs, who holds the folder, and Slurm's queue. Never waits."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
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
            for name in ("cells", "done", "running", "queued", "failed", "to_do", "cells_per_second"):
                setattr(total, name, getattr(total, name) + getattr(model, name))
            total.statuses.update(model.statuses)
            total.failures.extend(model.failures)
            total.damaged.extend(model.damaged)
        return total


def study_status(plan: Plan) -> StudyStatus:
    """Where a study stands now."""
    queue, alive = read_queue(), run_is_alive()
    jobs = match_jobs(plan, queue.jobs)
    by_model: dict[Model, list[Shard]] = {}
    for shard in plan.shards:
        by_model.setdefault(shard.model, []).append(shard)
    tracks = {model: model_track(model, shards, jobs, queue) for model, shards in by_model.items()}
    at_work = {(model.slug, writer.shard) for model, track in tracks.items() for writer in track.writers}
    queued = {
        shard for shard in plan.shards if alive or shard in jobs or (shard.model.slug, shard_name(shard)) in at_work
    }
    models = [model_status(model, shards, tracks[model], queued) for model, shards in by_model.items()]
    ended = (
        shard for shard in plan.shards if (shard.model.slug, shard_name(shard)) not in at_work and shard not in jobs
    )
    errors = job_errors(ended)
    named = [(f"{shard.model.name}/{shard_name(shard)}", job) for shard, job in jobs.items()]
    return StudyStatus(models, read_holder(), alive, queue, named, errors)


def match_jobs(plan: Plan, jobs: Iterable[Job]) -> dict[Shard, Job]:
    """Shards that stand in Slurm's queue; the comment names model, slice and key."""
    by_comment = {job.comment: job for job in jobs}
    comments = {
        shard: f"rule_evaluate_wildcards_{shard.model.slug}_{shard.slice_name}_{shard.key}" for shard in plan.shards
    }
    return {shard: by_comment[comment] for shard, comment in comments.items() if comment in by_comment}


def shard_name(shard: Shard) -> str:
    return f"{shard.slice_name}.{shard.key}"


def model_track(model: Model, shards: Sequence[Shard], jobs: Mapping[Shard, Job], queue: Queue) -> Track:
    """What the model's journals say; they are left unread where every shard has its part."""
    if all(shard.part.exists() for shard in shards):
        return Track()
    running = frozenset(shard_name(shard) for shard in shards if shard in jobs and jobs[shard].runs)
    was_asked = not queue.silence and (queue.jobs or queue.current)
    return read_track(journal_folder(model.slug), running if was_asked else None)


def model_status(model: Model, shards: Sequence[Shard], track: Track, queued: Collection[Shard]) -> ModelStatus:
    status = ModelStatus(model.name, cells_per_second=sum(writer.rate for writer in track.writers))
    failures = {failure.cell_id: failure for failure in track.failures()}
    for shard in shards:
        status.cells += len(shard.cells)
        if not (shard.part.exists() and count_part(status, shard.part)):
            count_missing(status, [cell.cell_id for cell in shard.cells], track, failures, shard in queued)
    return status


def count_part(status: ModelStatus, part: Path) -> bool:
    """Count the cells of a shard that has its part; False if it cannot be read."""
    from kbit.store.parts import read_part  # brings polars

    try:
        frame = read_part(part, ["cell_id", "task", "spec", "status", "error", "started_at", "host"])
    except UserError as error:
        status.damaged.append(str(error))
        return False
    failed = frame.filter(frame["status"] == "failed").select("cell_id", "task", "spec", "error", "started_at", "host")
    status.failures += [Failure(*(value or "" for value in row)) for row in failed.rows()]
    status.failed += len(failed)
    status.done += len(frame) - len(failed)
    status.statuses.update(value for value in frame["status"] if value != "failed")
    return True


def count_missing(
    status: ModelStatus, cells: Collection[str], track: Track, failures: Mapping[str, Failure], is_queued: bool
) -> None:
    """Count the cells of a shard without a part, by what the journals say."""
    for cell in cells:
        if cell in track.finished:
            status.done += 1
            status.statuses[track.finished[cell]] += 1
        elif cell in track.running:
            status.running += 1
        elif cell in failures:
            status.failed += 1
            status.failures.append(failures[cell])
        elif is_queued:
            status.queued += 1
        else:
            status.to_do += 1


def job_errors(shards: Iterable[Shard]) -> list[JobError]:
    """What jobs without a part said last, the latest first."""
    logs = []
    for shard in shards:
        log = shard_log_path(shard.model.slug, shard.slice_name, shard.key)
        if not shard.part.exists() and log.exists():
            logs.append((log.stat().st_mtime, shard, log))
    logs.sort(key=lambda found: found[0], reverse=True)
    errors = []
    for modified, shard, log in logs[:JOB_ERRORS]:
        lines = tail(log)
        if lines:
            said = next((line for line in reversed(lines) if line.startswith("kbit: ")), lines[-1])
            at = datetime.fromtimestamp(modified, UTC)
            errors.append(JobError(f"{shard.model.name}/{shard_name(shard)}", str(log), said, at))
    return errors


def tail(log: Path) -> list[str]:
    """The last lines of a log that are not blank."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LOG_BYTES))
        text = stream.read().decode("utf-8", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]
