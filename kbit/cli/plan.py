"""`kbit plan`: what a study asks for, what it will cost, and what is already there."""

import json
from collections import Counter

from rich.console import Console
from rich.table import Table

from kbit.plan.missing import count_missing
from kbit.plan.plan import Plan
from kbit.plan.resources import expected_gpu_hours


def print_plan(plan: Plan, as_json: bool) -> None:
    """Print the plan as a table per family, or as JSON."""
    summary = summarize(plan)
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    table = Table(title=f"{plan.study.config.title} ({plan.study.path})")
    for heading in ("family", "models", "specs", "cells", "slices", "cells there", "GPU-hours"):
        table.add_column(heading, justify="left" if heading == "family" else "right")
    for row in [*summary["families"], {"family": "all", **summary["total"]}]:
        numbers = (row["models"], row["specs"], row["cells"], row["slices"], row["cells_there"])
        table.add_row(row["family"], *(f"{number:,}" for number in numbers), f"{row['gpu_hours']:,.1f}")
    console = Console()
    console.print(table)
    console.print(f"tasks: {', '.join(task.name for task in plan.study.tasks)}")
    if plan.unbuilt:
        console.print(f"planned, but not evaluated by this release: {', '.join(plan.unbuilt)}")
    if plan.unpinned:
        console.print(f"{len(plan.unpinned)} models and tasks have no revision yet: kbit pin fills them in")


def summarize(plan: Plan) -> dict[str, object]:
    """Counts per family and in all, as plain JSON values."""
    missing = {shard.part: count_missing(shard) for shard in plan.shards}
    families = list(dict.fromkeys(model.family for model in plan.study.models))
    return {
        "study": plan.study.name,
        "title": plan.study.config.title,
        "key": plan.key,
        "tasks": [task.name for task in plan.study.tasks],
        "families": [{"family": family, **count(plan, missing, family)} for family in families],
        "total": count(plan, missing, None),
        "unbuilt": plan.unbuilt,
        "unpinned": plan.unpinned,
    }


def count(plan: Plan, missing: dict, family: str | None) -> dict[str, object]:
    cells = [cell for cell in plan.cells if family in (None, cell.model.family)]
    shards = [shard for shard in plan.shards if family in (None, shard.model.family)]
    models = Counter(cell.model.name for cell in cells)
    return {
        "models": len(models),
        "specs": len({cell.spec for cell in cells}),
        "cells": len(cells),
        "slices": len(shards),
        "cells_there": len(cells) - sum(missing[shard.part] for shard in shards),
        "gpu_hours": round(sum(expected_gpu_hours(shard) for shard in shards), 2),
    }
