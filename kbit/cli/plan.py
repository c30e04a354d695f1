"""`kbit plan`: what a study asks for, what it will cost and why, and what is already there."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from itertools import pairwise

from rich.table import Table

from kbit.cli.terminal import open_console
from kbit.plan.cost import MARGIN, Seconds
from kbit.plan.job_lengths import AIM, LIMITS, JobLengths, count_lengths, jobs_to_run, lengths_by_model, share_as_aimed
from kbit.plan.plan import Plan
from kbit.plan.resources import Estimate, Estimator
from kbit.plan.shards import Shard
from kbit.store.throughput import PredictionRatio

SHARES = tuple(part.name for part in fields(Seconds))
"""What GPU-hours are made up of."""
SPEEDS_SHOWN = 6


def print_plan(estimator: Estimator, as_json: bool) -> None:
    """Print the plan as tables per family, or as JSON."""
    summary = summarize(estimator)
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    plan = estimator.plan
    console = open_console()
    if plan.cells:
        console.print(counts_table(plan, summary))
    if plan.study.tasks:
        console.print(f"tasks: {', '.join(task.name for task in plan.study.tasks)}")
    for published in summary["published"]:
        console.print(f"published: {published['cells']:,} cells, {published['title']}", highlight=False)
    if summary["total"]["gpu_hours"]:
        console.print(cost_table(summary))
    if summary["jobs"]["total"]:
        console.print(jobs_table(summary["jobs"]))
    for line in basis_lines(summary):
        console.print(line, highlight=False)
    if plan.unbuilt:
        console.print(f"planned, but not evaluated by this release: {', '.join(plan.unbuilt)}")
    if plan.unpinned:
        console.print(f"{len(plan.unpinned)} models and tasks have no revision yet: kbit pin fills them in")


def counts_table(plan: Plan, summary: dict) -> Table:
    table = Table(title=f"{plan.study.config.title} ({plan.study.path})")
    for heading in ("family", "models", "specs", "cells", "slices", "cells there", "GPU-hours"):
        table.add_column(heading, justify="left" if heading == "family" else "right")
    for row in rows_of(summary):
        numbers = (row["models"], row["specs"], row["cells"], row["slices"], row["cells_there"])
        table.add_row(row["family"], *(f"{number:,}" for number in numbers), f"{row['gpu_hours']:,.1f}")
    return table


def cost_table(summary: dict) -> Table:
    """How the GPU-hours of each family are made up."""
    table = Table(title="GPU-hours of what is missing, by what they are spent on")
    for heading in ("family", "tokens", "FLOP", "streamed", *SHARES, "all"):
        table.add_column(heading, justify="left" if heading == "family" else "right")
    for row in rows_of(summary):
        hours = row["gpu_hours_by"]
        table.add_row(
            row["family"],
            f"{row['gpu_tokens']:.3g}",
            f"{row['gpu_flop']:.3g}",
            f"{row['streamed_models']:,}",
            *(f"{hours[share]:,.1f}" for share in SHARES),
            f"{row['gpu_hours']:,.1f}",
        )
    return table


def jobs_table(jobs: dict) -> Table:
    """How long the jobs of each model are expected to take: a histogram."""
    table = Table(title=f"jobs by the minutes they are expected to take (each asks for {MARGIN:g} times that)")
    for heading in ("model", "jobs", *bin_names(), "median", "longest"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for row in [*jobs["models"], {"model": "all", **jobs["total"]}]:
        counts = (f"{count:,}" if count else "" for count in row["counts"])
        minutes = (row["median_minutes"], row["longest_minutes"])
        table.add_row(row["model"], f"{row['jobs']:,}", *counts, *(f"{m:,.{0 if m >= 10 else 1}f}" for m in minutes))
    return table


def bin_names() -> list[str]:
    inner = (f"{low}-{high}" for low, high in pairwise(LIMITS))
    return [f"<{LIMITS[0]}", *inner, f"{LIMITS[-1]}+"]


def rows_of(summary: dict) -> list[dict]:
    return [*summary["families"], {"family": "all", **summary["total"]}]


def basis_lines(summary: dict) -> list[str]:
    """What the estimate is based on, and how good the last one was."""
    place, total, speeds = summary["hardware"], summary["total"], summary["speeds"]
    lines = []
    if total["gpu_hours"]:
        lines.append(
            f"place: GPUs of {place['gpu_memory_gb']:g} GB and {place['gpu_tflops']:g} TFLOP/s, at most "
            f"{place['max_gpus']} of them and {place['host_memory_gb']:g} GB of host memory a job, weights read at "
            f"{place['read_gb_per_second']:g} GB/s"
        )
    if (share := summary["jobs"]["gpu_hours_share_as_aimed"]) is not None:
        lines.append(f"{share:.0%} of the GPU-hours are in jobs of {AIM[0]} to {AIM[1]} minutes")
    if total["cpu_hours"]:
        lines.append(f"jobs without a GPU: {total['cpu_hours']:,.2f} hours")
    lines += [f"speed of {speed['models']} models: {speed['source']}" for speed in speeds[:SPEEDS_SHOWN]]
    if len(speeds) > SPEEDS_SHOWN:
        lines.append(f"and {len(speeds) - SPEEDS_SHOWN} more such sources (--json lists them)")
    if error := summary["last_prediction"]:
        lines.append(
            f"last prediction: {error['median_ratio']:.2f} times the measured seconds of a cell "
            f"(80 % of {error['cells']:,} cells between {error['low_ratio']:.2f} and {error['high_ratio']:.2f}), each "
            f"model predicted without its own measurements, from {len(error['sources'])} sources such as "
            f'"{error["sources"][0]}"'
        )
    return lines


def summarize(estimator: Estimator) -> dict[str, object]:
    """Counts and costs per family and in all, as plain JSON values."""
    plan = estimator.plan
    families = list(dict.fromkeys(model.family for model in plan.study.models))
    return {
        "study": plan.study.name,
        "title": plan.study.config.title,
        "key": plan.key,
        "tasks": [task.name for task in plan.study.tasks],
        "families": [{"family": family, **count(estimator, family)} for family in families],
        "total": count(estimator, None),
        "published": [
            {"name": one.publication.name, "title": one.publication.config.title, "cells": len(one.cells)}
            for one in plan.imports
        ],
        "jobs": summarize_jobs(estimator),
        "hardware": estimator.hardware.model_dump(),
        "speeds": speeds(estimator),
        "last_prediction": as_json(estimator.measured.predictions.get(plan.study.name)),
        "unbuilt": plan.unbuilt,
        "unpinned": plan.unpinned,
    }


def summarize_jobs(estimator: Estimator) -> dict[str, object]:
    """The histogram of job lengths per model and in all; total is null where nothing is left to run."""
    jobs = jobs_to_run(estimator)
    models = lengths_by_model(jobs)
    return {
        "limits_minutes": LIMITS,
        "models": [{"model": model, **rounded(lengths)} for model, lengths in models.items()],
        "total": rounded(count_lengths(jobs)) if jobs else None,
        "gpu_hours_share_as_aimed": share_as_aimed(jobs),
    }


def rounded(lengths: JobLengths) -> dict[str, object]:
    minutes = {name: round(getattr(lengths, name), 1) for name in ("median_minutes", "longest_minutes")}
    return {**asdict(lengths), **minutes}


def as_json(error: PredictionRatio | None) -> dict[str, object] | None:
    return None if error is None else asdict(error)


def count(estimator: Estimator, family: str | None) -> dict[str, object]:
    plan = estimator.plan
    cells = [cell for cell in plan.cells if family in (None, cell.model.family)]
    shards = [shard for shard in plan.shards if family in (None, shard.model.family)]
    estimates = [estimator.estimate(shard) for shard in shards]
    missing = sum(estimate.work.cells for estimate in estimates if estimate.work)
    return {
        "models": len({cell.model.name for cell in cells}),
        "specs": len({cell.spec for cell in cells}),
        "cells": len(cells),
        "slices": len(shards),
        "cells_there": len(cells) - missing,
        **gpu_costs(shards, estimates),
        "cpu_hours": round(sum(hours_without_gpu(estimate) for estimate in estimates), 2),
    }


def hours_without_gpu(estimate: Estimate) -> float:
    """Expected hours of a job that runs on a CPU."""
    return 0.0 if estimate.cost.gpus else estimate.cost.seconds.total / 3600


def gpu_costs(shards: Sequence[Shard], estimates: Sequence[Estimate]) -> dict[str, object]:
    """GPU-hours and what they are made up of."""
    on_gpu = [estimate for estimate in estimates if estimate.cost.gpus]
    hours = {
        share: sum(estimate.cost.gpus * getattr(estimate.cost.seconds, share) for estimate in on_gpu) / 3600
        for share in SHARES
    }
    pairs = zip(shards, estimates, strict=True)
    streamed = {shard.model.name for shard, estimate in pairs if estimate.cost.placement.kind == "streamed"}
    return {
        "gpu_hours": round(sum(estimate.cost.gpu_hours for estimate in on_gpu), 2),
        "gpu_hours_by": {share: round(value, 2) for share, value in hours.items()},
        "gpu_tokens": sum(estimate.work.tokens for estimate in on_gpu),
        "gpu_flop": sum(estimate.work.flop for estimate in on_gpu),
        "streamed_models": len(streamed),
    }


def speeds(estimator: Estimator) -> list[dict[str, object]]:
    """What the speeds of the models that have cells missing come from, the most frequent source first."""
    sources = {
        shard.model.name: estimate.rates.source
        for shard in estimator.plan.shards
        if (estimate := estimator.estimate(shard)).rates
    }
    return [{"source": source, "models": models} for source, models in Counter(sources.values()).most_common()]
