"""The page of all studies, reports/index.html: date, verdict and completeness of each, with a link to its report.

Every report leaves a summary beside it (`reports/<study>/summary.json`), and the page is made of those that are there:
a study whose report is removed leaves it with the next report of any study.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import polars as pl
from jinja2 import Environment, StrictUndefined

from kbit.report.completeness import completeness, totals
from kbit.scaling import verdict_table
from kbit.store.atomic import to_bytes, write_bytes

SUMMARY = "summary.json"
KEYS = ("name", "title", "date", "metric", "verdicts", "planned", "done", "unscored", "models")


def summarize(
    study: Mapping[str, object], frames: Mapping[str, pl.DataFrame], fits: pl.DataFrame, date: str
) -> dict[str, object]:
    """What the page of all studies says of one; `date` is the start of its newest cell, UTC."""
    counted = totals(completeness(frames["models"]))
    rows = [row for row in verdict_table(fits) if row["at fixed"] == "total bits"]
    return {
        "name": study["name"],
        "title": study["title"],
        "date": date,
        "metric": rows[0]["metric"] if rows else "",
        "verdicts": [{key: row[key] for key in ("family", "best k", "95 %")} for row in rows],
        "models": frames["models"].height,
        **{name: counted[name] for name in ("planned", "done", "unscored")},
    }


def write_index(reports: Path, study: str, summary: Mapping[str, object]) -> None:
    """Keep the summary of a study's report, and write the page of all studies anew; newest first."""
    write_bytes(reports / study / SUMMARY, to_bytes(summary))
    found = [(path.parent.name, read_summary(path)) for path in sorted(reports.glob(f"*/{SUMMARY}"))]
    listed = [(folder, known) for folder, known in found if known is not None]
    listed.sort(key=lambda item: item[1]["date"], reverse=True)
    jinja = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    pages = files("kbit.report") / "page"
    template = jinja.from_string((pages / "index.html.j2").read_text(encoding="utf-8"))
    page = template.render(studies=listed, style=(pages / "style.css").read_text(encoding="utf-8"))
    write_bytes(reports / "index.html", page.encode())


def read_summary(path: Path) -> dict[str, object] | None:
    """The summary of a report that still has its page; None for one that has not, or is of another release."""
    if not (path.parent / "index.html").is_file():
        return None
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and set(KEYS) <= set(summary) else None
