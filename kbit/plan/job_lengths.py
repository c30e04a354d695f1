"""How long a plan's jobs are expected to take: the figures that the cut into slices (kbit/plan/slices.py) aims at."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from kbit.plan.resources import Estimate, Estimator

LIMITS = (5, 10, 20, 40, 60, 120)
"""Minutes between the bins of a histogram; a length of exactly a limit is in the bin above it."""
AIM = (20, 60)
"""Minutes that a job should take."""


@dataclass(frozen=True, slots=True)
class Job:
    """A shard that has no part yet."""

    model: str
    minutes: float
    """Expected, without margin."""
    gpu_hours: float
    """Likewise; 0 on a CPU."""


@dataclass(frozen=True, slots=True)
class JobLengths:
    """The lengths of some jobs; at least one."""

    jobs: int
    counts: tuple[int, ...]
    """Jobs by bin: one more than there are limits."""
    median_minutes: float
    longest_minutes: float


def jobs_to_run(estimator: Estimator) -> list[Job]:
    """The jobs a run of the plan would start, in the order of the plan."""
    estimates = ((shard, estimator.estimate(shard)) for shard in estimator.plan.shards if not shard.part.exists())
    return [job_of(shard.model.name, estimate) for shard, estimate in estimates]


def job_of(model: str, estimate: Estimate) -> Job:
    return Job(model, estimate.cost.seconds.total / 60, estimate.cost.gpu_hours)


def count_lengths(jobs: Iterable[Job]) -> JobLengths:
    """ValueError if there is no job."""
    minutes = [job.minutes for job in jobs]
    by_bin = Counter(bisect_right(LIMITS, length) for length in minutes)
    counts = tuple(by_bin[number] for number in range(len(LIMITS) + 1))
    return JobLengths(len(minutes), counts, median(minutes), max(minutes))


def lengths_by_model(jobs: Iterable[Job]) -> dict[str, JobLengths]:
    """Of every model that has jobs, in their order."""
    by_model: dict[str, list[Job]] = {}
    for job in jobs:
        by_model.setdefault(job.model, []).append(job)
    return {model: count_lengths(own) for model, own in by_model.items()}


def share_as_aimed(jobs: Iterable[Job]) -> float | None:
    """Share of the GPU-hours that lie in jobs of 20 to 60 minutes; None without GPU-hours."""
    hours = [(job.gpu_hours, AIM[0] <= job.minutes <= AIM[1]) for job in jobs]
    total = sum(own for own, _ in hours)
    return sum(own for own, is_aimed in hours if is_aimed) / total if total else None
