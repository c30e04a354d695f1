"""`kbit import`: a published table as a part of rows, the same that evaluated cells leave."""

import json
from pathlib import Path

from kbit.plan.imports import Import
from kbit.spec.errors import UserError
from kbit.spec.published import Publication, read_publication


def import_table(description: Path, part: Path | None, as_json: bool) -> None:
    """Read a described table, write its part, and say what is in it.

    part: the file that a study planned, whose name says what it holds; the same by default. UserError for a mistake in
    description or table, or if either has changed since.
    """
    from kbit.store.parts import write_part

    publication = read_publication(description)
    planned = Import(publication)
    if part is not None and part.name != planned.part.name:
        raise UserError(
            f"{description} or its table has changed since this was planned: {part.name} would be "
            f"{planned.part.name} now; start the run again"
        )
    path = part or planned.part
    rows = [cell.to_row() for cell in publication.cells]
    write_part(rows, path, {"publication": publication.name, "key": planned.key})
    summary = {**summarize(publication), "part": str(path)}
    print(json.dumps(summary, indent=2) if as_json else in_words(summary))


def summarize(publication: Publication) -> dict[str, object]:
    """What a table holds, as plain JSON values."""
    cells = publication.cells
    return {
        "publication": publication.name,
        "title": publication.config.title,
        "lines": publication.n_lines,
        "cells": len(cells),
        "models": publication.models,
        "families": sorted({cell.model.family for cell in cells}),
        "specs": sorted({cell.spec.slug for cell in cells}),
        "tasks": sorted({cell.task.name for cell in cells}),
        "metrics": sorted({name for cell in cells for name in cell.metrics}),
    }


COUNTED = {
    "lines": "line", "cells": "cell", "models": "model", "families": "family", "specs": "spec", "tasks": "task",
    "metrics": "metric",
}  # fmt: skip
"""What is counted -> the word for one of them."""


def in_words(summary: dict) -> str:
    numbers = {name: found if isinstance(found := summary[name], int) else len(found) for name in COUNTED}
    counts = [f"{number:,} {COUNTED[name] if number == 1 else name}" for name, number in numbers.items()]
    listed = [f"{name}: {', '.join(summary[name])}" for name in ("models", "specs", "tasks", "metrics")]
    head = f"{summary['publication']}: {summary['title']}"
    return "\n".join([head, ", ".join(counts), *listed, f"written: {summary['part']}"])
