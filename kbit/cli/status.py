"""`kbit status`: how far a study is, model by model."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from kbit.cli.terminal import open_console
from kbit.plan.plan import plan_study
from kbit.upkeep.status import COUNTED, ModelStatus, StudyStatus, study_status

ERRORS_SHOWN = 5


def print_status(study: Path, as_json: bool) -> None:
    """Print the status of a study as a table, or as JSON."""
    status = study_status(plan_study(study))
    if as_json:
        print(json.dumps(summarize(status), indent=2))
        return
    console = open_console()
    console.print(table_of(study, status))
    for line in notes(status):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def table_of(study: Path, status: StudyStatus) -> Table:
    table = Table(title=str(study), title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 2, 0, 0))
    table.add_column("model", overflow="ellipsis", no_wrap=True)
    for heading in (*(name.replace("_", " ") for name in COUNTED), "cells/s", "left"):
        # Names may be cut on a narrow terminal, numbers never.
        table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
    models = list(status.models)
    for model in [*models, status.total()] if len(models) > 1 else models:
        rate = f"{model.cells_per_second:.2g}" if model.cells_per_second else ""
        table.add_row(
            model.model, *(f"{getattr(model, name):,}" for name in COUNTED), rate, duration(model.seconds_left)
        )
    return table


def duration(seconds: float | None) -> str:
    """Hours and minutes; empty for None."""
    if seconds is None:
        return ""
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes >= 60 else f"{max(minutes, 1)} min"


def notes(status: StudyStatus) -> Iterator[str]:
    """What the table does not say."""
    total = status.total()
    if others := {name: count for name, count in sorted(total.statuses.items()) if name != "ok"}:
        yield "of the cells that are done: " + ", ".join(f"{count:,} {name}" for name, count in others.items())
    if status.head_is_alive:
        yield f"running: {status.head}"
    elif status.head:
        yield f"died while it held results/: {status.head}; the next `kbit run` goes on"
    if status.jobs:
        states = Counter(job.state.lower() for _, job in status.jobs)
        yield "Slurm jobs: " + ", ".join(f"{count:,} {state}" for state, count in states.most_common())
    if lost := status.queue.lost:
        yield f"{len(lost):,} of Slurm's jobs have no living head: `kbit doctor` lists them"
    if status.queue.silence:
        yield f"Slurm's queue is unknown: {status.queue.silence}"
    yield from total.damaged
    for failure in sorted(total.failures, key=lambda failure: failure.started_at)[-ERRORS_SHOWN:]:
        first = (failure.error.splitlines() or [""])[0]
        yield f"failed: {failure.spec}, {failure.task} at {failure.started_at[:16]} on {failure.host}: {first}"
    if total.failed and not (total.queued or total.running):
        yield f"{total.failed:,} failed cells: `kbit retry`, then run the study again"
    for error in status.job_errors[:ERRORS_SHOWN]:
        yield f"job {error.shard}, {error.at:%Y-%m-%d %H:%M} UTC: {error.said} ({error.log})"


def summarize(status: StudyStatus) -> dict[str, object]:
    """All of it as plain JSON values."""
    return {
        "total": counts(status.total()),
        "models": [counts(model) for model in status.models],
        "head": {"alive": status.head_is_alive, "holder": status.head},
        "slurm": {
            "silence": status.queue.silence,
            "jobs": [{"shard": shard, **asdict(job)} for shard, job in status.jobs],
            "orphans": [asdict(job) for job in status.queue.orphans],
        },
        "failures": [asdict(failure) for failure in status.total().failures],
        "job_errors": [{**asdict(error), "at": error.at.isoformat()} for error in status.job_errors],
        "damaged_parts": status.total().damaged,
    }


def counts(model: ModelStatus) -> dict[str, object]:
    return {
        "model": model.model,
        **{name: getattr(model, name) for name in COUNTED},
        "statuses": dict(sorted(model.statuses.items())),
        "cells_per_second": model.cells_per_second,
        "seconds_left": model.seconds_left,
    }
