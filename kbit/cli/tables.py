"""The verbs downstream of the parts: tables, fits, report. Each plans the study again, inside the process."""

import sys
from pathlib import Path

import polars as pl

from kbit.plan.plan import Plan, plan_study
from kbit.spec.published import PublishedCell
from kbit.store.atomic import write_bytes
from kbit.store.paths import claims_path, fits_path, report_path, tables_folder


def plan_frame(plan: Plan) -> pl.DataFrame:
    """One row per planned cell, with the names that the study gives to models and tasks."""
    rows = [
        {
            "cell_id": cell.cell_id,
            "model": cell.model.name,
            "family": cell.model.family,
            "model_id": cell.model.model_id,
            "planned_parameters": cell.model.parameters,
            "tokens_seen": cell.model.tokens_seen,
            "spec": cell.spec.slug,
            "task": cell.task.name,
            "task_kind": cell.task.kind,
            "task_metric": cell.task.entry.metric,
            "task_label": cell.task.entry.label or cell.task.name,
            "chance": cell.task.entry.chance,
        }
        for cell in plan.cells
    ]
    rows += [published_row(cell) for one in plan.imports for cell in one.cells]
    return pl.DataFrame(
        rows, schema_overrides={"tokens_seen": pl.Int64, "chance": pl.Float64}, infer_schema_length=None
    )


def published_row(cell: PublishedCell) -> dict[str, object]:
    """The same of a published cell, with the names that its description gives."""
    return {
        "cell_id": cell.cell_id,
        "model": cell.model.name,
        "family": cell.model.family,
        "model_id": cell.model_id,
        "planned_parameters": cell.model.parameters,
        "tokens_seen": cell.model.tokens_seen,
        "spec": cell.spec.slug,
        "task": cell.task.name,
        "task_kind": cell.task.kind,
        "task_metric": cell.task.metric,
        "task_label": cell.task.title or cell.task.name,
        "chance": cell.task.chance,
    }


def build_study_tables(study: Path) -> None:
    """Write the study's tables, then the stamp that says of which plan they are; older stamps go."""
    from kbit.cli.throughput import keep_throughput
    from kbit.warehouse import build_tables
    from kbit.warehouse.build import read_table

    plan = plan_study(study)
    folder = tables_folder(plan.study.name)
    build_tables(plan_frame(plan), plan.parts, folder, [job.output for job in plan.outliers])
    keep_throughput(plan, read_table(folder, "cells"))
    for stamp in folder.glob("plan.*"):
        stamp.unlink()
    write_bytes(plan.stamp, b"")


def fit_study_tables(study: Path, processes: int = 1) -> None:
    from kbit.scaling import fit_study

    plan = plan_study(study)
    name = plan.study.name
    fit_study(tables_folder(name), plan.parts, fits_path(name), tell_progress, claims_path(name), processes)


def tell_progress(line: str) -> None:
    """A line for the rule's log, at once."""
    print(line, file=sys.stderr, flush=True)


def render_study_report(study: Path) -> None:
    from kbit.report import render_report
    from kbit.report.recipes import STUDY_KEYS

    plan = plan_study(study)
    name, config = plan.study.name, plan.study.config
    presented = {
        "name": name,
        "title": config.title,
        "plan": plan.key,
        "dtype": config.dtype,
        "item_limit": config.item_limit,
        "file": study.as_posix(),
        "settings": config.model_dump(mode="json", include=set(STUDY_KEYS)),
    }
    render_report(presented, tables_folder(name), fits_path(name), report_path(name), claims_path(name))
