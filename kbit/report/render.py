"""From a study's tables and fits to its page: one self-contained HTML file, the same bytes for the same tables."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path

import polars as pl
import vl_convert
from jinja2 import DictLoader, Environment, StrictUndefined

from kbit.report.cells import RUN_COLUMNS, Explorer, explore_cells
from kbit.report.changes import Changes, change_words, find_changes, verdict_words
from kbit.report.claims import claim_groups, claim_totals, read_claims
from kbit.report.columnar import compress, encode_frame
from kbit.report.completeness import completeness, problem_cells, totals
from kbit.report.figures import ACCOUNTINGS, FIGURES, METRICS, QUANTITIES, Figure
from kbit.report.figures.marks import THEME
from kbit.report.index_page import summarize, write_index
from kbit.report.labels import COLUMN_LABELS, FIT_LABELS, HINTS, SHORT
from kbit.report.methods import method_rows
from kbit.report.outliers import outlier_groups
from kbit.report.palette import Palette, css_variables
from kbit.report.points import page_points
from kbit.report.provenance import model_facts, run_facts, task_facts
from kbit.report.recipes import study_yaml
from kbit.report.series import page_palettes
from kbit.report.snapshot import rotate, take_snapshot
from kbit.report.unstable import unstable_points
from kbit.report.verdict import share_rows, verdict_views
from kbit.scaling.fit_rows import SCHEMA
from kbit.spec.errors import UserError
from kbit.store.atomic import write_bytes
from kbit.warehouse import read_table

SCRIPTS = (
    "decode.js", "state.js", "elements.js", "downloads.js", "tasks.js", "notes.js", "figures.js", "panels.js",
    "fits.js", "recipe.js", "cells.js", "main.js",
)  # fmt: skip
"""Parts of the page's module script, in this order."""

TABLES = ("cells", "scores", "points", "models")
LISTED_CHANGES = 40
"""Cells that are named in each list of changes; `kbit diff` has them all."""

Study = Mapping[str, object]
STUDY_FACTS = {"plan": "Plan", "item_limit": "Items of a task at most"}
"""What a study may tell about itself besides its name and title -> its name under Provenance."""


def render_report(study: Study, tables: Path, fits: Path, output: Path, claims: Path | None = None) -> None:
    """Write the report of a study to `output`, keep what it shows beside it, and list it in the page of all studies.

    `study` has its `name` and `title`, and may have the keys of STUDY_FACTS, its `file`, and `settings` with the keys
    of recipes.STUDY_KEYS; `tables` is the folder of cells, scores, points and models; `fits` is fits.parquet; `claims`
    claims.parquet. The page of all studies is `index.html` one folder above that of `output`.
    UserError when a table or the fits are missing or were written by another version.
    """
    frames = {name: read_table(tables, name) for name in TABLES}
    fitted, claimed = read_fits(fits), read_claims(claims)
    now = take_snapshot(frames, fitted)
    before = rotate(output.parent, now)
    page = render_page(study, frames, fitted, claimed, tables, None if before is None else find_changes(before, now))
    write_bytes(output, page.encode())
    write_index(output.parents[1], output.parent.name, summarize(study, frames, fitted, now.date))


def read_fits(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise UserError(f"no fits {path}: make them with `kbit fit STUDY`")
    fits = pl.read_parquet(path)
    if fits.schema != SCHEMA:
        raise UserError(f"{path} does not have the columns of this version: make it again with `kbit fit STUDY`")
    return fits


def render_page(
    study: Study,
    frames: dict[str, pl.DataFrame],
    fits: pl.DataFrame,
    claims: pl.DataFrame | None,
    tables: Path,
    changes: Changes | None,
) -> str:
    """The page as text."""
    points = page_points(frames, fits)
    shares = share_rows(fits)
    palettes = page_palettes(points, shares, fits)
    drawn = {"points": points, "shares": shares, "methods": method_rows(fits, points), "fits": fits}
    figures = [figure for figure in FIGURES if in_scope(figure, drawn[figure.table])]
    payload = page_payload(study, drawn, figures, palettes, explore_cells(frames))
    by_model, tasks = completeness(frames["models"]), task_facts(frames["cells"])
    return (
        environment()
        .from_string(asset("page.html.j2"))
        .render(
            study=study,
            tables=tables.as_posix(),
            figures=figures,
            palettes=palettes,
            metrics=METRICS,
            accountings=ACCOUNTINGS,
            short=SHORT,
            hints=HINTS,
            verdicts=verdict_views(fits, [series.value for series in palettes["family"]], palettes["bits"]),
            claims=claim_groups(claims),
            claim_totals=claim_totals(claims),
            changes=changes,
            outliers=outlier_groups(tables),
            labels=COLUMN_LABELS,
            fit_labels=FIT_LABELS,
            listed_changes=LISTED_CHANGES,
            completeness=by_model,
            totals=totals(by_model),
            unstable=unstable_points(fits),
            problems=problem_cells(frames["cells"]),
            facts=study_facts(study) + run_facts(frames["cells"]),
            date=(frames["cells"]["started_at"].max() or "")[:10],
            tasks=tasks,
            proxies=[task["task_label"] for task in tasks if task["is_proxy"] and task["task_kind"] == "zero-shot"],
            models=model_facts(frames["models"]),
            n_specs=frames["cells"]["spec"].n_unique(),
            style=asset("style.css"),
            colours=css_variables(palettes.values()),
            payload=compress(payload),
            bundle=vega_bundle(),
            script="\n".join(asset(name) for name in SCRIPTS),
        )
    )


def page_payload(
    study: Study,
    drawn: dict[str, pl.DataFrame],
    figures: list[Figure],
    palettes: dict[str, Palette],
    explorer: Explorer,
) -> dict[str, object]:
    """What the page's scripts read."""
    return {
        "study": {"name": study["name"], "file": study.get("file"), "yaml": study_yaml(study)},
        "tables": {name: encode_frame(frame) for name, frame in {**drawn, **explorer.frames()}.items()},
        "recipes": explorer.recipes,
        "epoch": explorer.epoch,
        "runLabels": RUN_COLUMNS,
        "figures": [figure.to_dict() for figure in figures],
        "palettes": {name: [asdict(series) for series in palette] for name, palette in palettes.items()},
        "accountings": dict(ACCOUNTINGS),
        "metrics": dict(METRICS),
        "quantities": dict(QUANTITIES),
        "labels": COLUMN_LABELS,
        "theme": THEME,
    }


def study_facts(study: Study) -> list[tuple[str, list[str]]]:
    """(name, values) of what the study tells about itself."""
    told = [(label, study[key]) for key, label in STUDY_FACTS.items() if key in study]
    return [(label, ["all" if value is None else str(value)]) for label, value in told]


def in_scope(figure: Figure, rows: pl.DataFrame) -> bool:
    """Whether the study has any row that the figure may draw; a figure without one is left out of the page."""
    for column, values in figure.where.items():
        rows = rows.filter(pl.col(column).is_in(values))
    needed = rows.drop_nulls(list(figure.needs)) if figure.needs else rows
    return needed.height > 0


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and vega-embed, 0.9 MB."""
    return vl_convert.javascript_bundle()


def asset(name: str) -> str:
    return (files("kbit.report") / "page" / name).read_text(encoding="utf-8")


def environment() -> Environment:
    """Jinja that escapes what it prints and refuses unknown names; our own style and scripts are marked safe there."""
    parts = DictLoader({name: asset(f"{name}.html.j2") for name in ("changes", "claims", "outliers")})
    jinja = Environment(loader=parts, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters["whole"] = lambda value: "–" if value is None else f"{value:,}"
    jinja.filters["fixed"] = lambda value, digits: "–" if value is None else f"{value:.{digits}f}"
    jinja.filters["digits"] = lambda value: "–" if value is None else f"{value:.4g}".replace("-", "−")
    jinja.filters["score"] = change_words
    jinja.globals["verdict_words"] = verdict_words
    return jinja
