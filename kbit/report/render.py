"""From a study's tables and fits to its page: one self-contained HTML file, the same bytes for the same tables."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import polars as pl
import vl_convert
from jinja2 import Environment, StrictUndefined

from kbit.report.columnar import compress, encode_frame
from kbit.report.completeness import completeness, problem_cells, totals
from kbit.report.figures import ACCOUNTINGS, FIGURES, METRICS, QUANTITIES, Figure
from kbit.report.figures.marks import THEME
from kbit.report.labels import COLUMN_LABELS, HINTS, SHORT
from kbit.report.palette import css_variables
from kbit.report.points import page_points
from kbit.report.provenance import model_facts, run_facts, task_facts
from kbit.report.series import page_palettes
from kbit.report.verdict import share_rows, verdict_views
from kbit.scaling.fit_rows import SCHEMA
from kbit.spec.errors import UserError
from kbit.store.atomic import write_bytes
from kbit.warehouse import read_table

SCRIPTS = ("decode.js", "state.js", "elements.js", "notes.js", "figures.js", "fits.js", "main.js")
"""Parts of the page's module script, in this order."""


Study = Mapping[str, object]
STUDY_FACTS = {"plan": "Plan", "item_limit": "Items of a task at most"}
"""What a study may tell about itself besides its name and title -> its name under Provenance."""


def render_report(study: Study, tables: Path, fits: Path, output: Path) -> None:
    """Write the report of a study to `output`.

    `study` has its `name` and `title`, and may have the keys of STUDY_FACTS; `tables` is the folder of cells, points
    and models; `fits` is fits.parquet.
    UserError when one of them is missing or was written by another version.
    """
    frames = {name: read_table(tables, name) for name in ("cells", "points", "models")}
    page = render_page(study, frames, read_fits(fits))
    write_bytes(output, page.encode())


def read_fits(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise UserError(f"no fits {path}: make them with `kbit fit STUDY`")
    fits = pl.read_parquet(path)
    if fits.schema != SCHEMA:
        raise UserError(f"{path} does not have the columns of this version: make it again with `kbit fit STUDY`")
    return fits


def render_page(study: Study, frames: dict[str, pl.DataFrame], fits: pl.DataFrame) -> str:
    """The page as text."""
    points = page_points(frames["points"], frames["models"])
    shares = share_rows(fits)
    palettes = page_palettes(points, shares, fits)
    by_model = completeness(frames["models"])
    tasks = task_facts(frames["cells"])
    families = [series.value for series in palettes["family"]]
    tables = {"points": points, "shares": shares, "fits": fits}
    figures = [figure for figure in FIGURES if in_scope(figure, tables[figure.table])]
    payload = {
        "study": study["name"],
        "tables": {name: encode_frame(frame) for name, frame in tables.items()},
        "figures": [figure.to_dict() for figure in figures],
        "palettes": {
            name: [{"value": s.value, "label": s.label, "variable": s.variable, "shape": s.shape} for s in palette]
            for name, palette in palettes.items()
        },
        "accountings": dict(ACCOUNTINGS),
        "metrics": dict(METRICS),
        "quantities": dict(QUANTITIES),
        "labels": COLUMN_LABELS,
        "theme": THEME,
    }
    return (
        environment()
        .from_string(asset("page.html.j2"))
        .render(
            study=study,
            figures=figures,
            palettes=palettes,
            metrics=METRICS,
            accountings=ACCOUNTINGS,
            short=SHORT,
            hints=HINTS,
            verdicts=verdict_views(fits, families, palettes["bits"]),
            completeness=by_model,
            totals=totals(by_model),
            problems=problem_cells(frames["cells"]),
            facts=study_facts(study) + run_facts(frames["cells"]),
            tasks=tasks,
            proxies=[task["task_label"] for task in tasks if task["is_proxy"] and task["task_kind"] == "zero-shot"],
            models=model_facts(frames["models"]),
            n_specs=frames["cells"]["spec"].n_unique(),
            style=asset("style.css"),
            colours=css_variables(palettes.values()),
            payload=compress(payload),
            bundle=vl_convert.javascript_bundle(),
            script="\n".join(asset(name) for name in SCRIPTS),
        )
    )


def study_facts(study: Study) -> list[tuple[str, list[str]]]:
    """(name, values) of what the study tells about itself."""
    told = [(label, study[key]) for key, label in STUDY_FACTS.items() if key in study]
    return [(label, ["all" if value is None else str(value)]) for label, value in told]


def in_scope(figure: Figure, rows: pl.DataFrame) -> bool:
    """Whether the study has any row that the figure may draw; a figure without one is left out of the page."""
    for column, values in figure.where.items():
        rows = rows.filter(pl.col(column).is_in(values))
    return rows.height > 0


def asset(name: str) -> str:
    return (files("kbit.report") / "page" / name).read_text(encoding="utf-8")


def environment() -> Environment:
    """Jinja that escapes what it prints and refuses unknown names; our own style and scripts are marked safe there."""
    jinja = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters["whole"] = lambda value: "–" if value is None else f"{value:,}"
    jinja.filters["fixed"] = lambda value, digits: "–" if value is None else f"{value:.{digits}f}"
    return jinja
