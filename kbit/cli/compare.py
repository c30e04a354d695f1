"""`kbit compare`: two cells of a study, paired by item."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from kbit.cli.terminal import open_console
from kbit.plan.plan import Plan, plan_study
from kbit.spec.cell import Cell
from kbit.spec.errors import UserError
from kbit.store.paths import requests_path

if TYPE_CHECKING:
    from kbit.scaling.compare import AccuracyTest, Difference, LikelihoodTest
    from kbit.scaling.compare_cells import Comparison, ScoredCell

PARTS = ("model", "spec", "task")


def compare(study: Path, first: str, second: str, as_json: bool) -> None:
    """Print the paired tests of two cells of a study as a table, or as JSON."""
    from kbit.scaling.compare_cells import compare_cells

    plan = plan_study(study)
    cells = [read_cell(plan, find_cell(plan, words)) for words in (first, second)]
    comparison = compare_cells(*cells, requests_path(cells[0].task, cells[0].requests))
    if as_json:
        print(json.dumps(to_json(plan, comparison), indent=2))
    else:
        print_comparison(comparison)


def cell_name(cell: Cell) -> str:
    return f"{cell.model.name}/{cell.spec.slug}/{cell.task.name}"


def find_cell(plan: Plan, words: str) -> Cell:
    """The cell that MODEL/SPEC/TASK or the first digits of an id name. UserError, with the nearest names, if none."""
    where = plan.study.path
    if "/" not in words:
        found = [cell for cell in plan.cells if cell.cell_id.startswith(words)]
        if len(found) == 1:
            return found[0]
        number = f"the ids of {len(found)} cells start" if found else "no cell's id starts"
        raise UserError(f"{number} with {words!r} ({where}): a cell is MODEL/SPEC/TASK or the first digits of its id")
    names = words.split("/")
    if len(names) != len(PARTS):
        raise UserError(f"{words!r} is not MODEL/SPEC/TASK, such as {cell_name(plan.cells[0])} ({where})")
    cells = list(plan.cells)
    for part, name, index in zip(PARTS, names, range(len(PARTS)), strict=True):
        known = list(dict.fromkeys(cell_name(cell).split("/")[index] for cell in cells))
        cells = [cell for cell in cells if cell_name(cell).split("/")[index] == name]
        if not cells:
            raise UserError(unknown(part, name, known, words, where))
    return cells[0]


def unknown(part: str, name: str, known: list[str], words: str, where: Path) -> str:
    """The sentence for a name that no cell has, with the nearest ones that some have."""
    near = get_close_matches(name, known, n=3, cutoff=0)
    return f"no {part} {name!r} in {words} ({where}): the nearest of {len(known)} is {' or '.join(near)}"


def read_cell(plan: Plan, cell: Cell) -> "ScoredCell":
    from kbit.scaling.compare_cells import read_scored_cell

    part = next(shard.part for shard in plan.shards if cell.cell_id in {member.cell_id for member in shard.cells})
    if not part.exists():
        raise UserError(f"{cell_name(cell)} has no part {part} yet: `kbit run {plan.study.path}` evaluates it")
    return read_scored_cell(cell_name(cell), cell.cell_id, part)


def to_json(plan: Plan, comparison: "Comparison") -> dict[str, object]:
    """Plain values; the second cell minus the first."""
    return {
        "study": plan.study.name,
        "task": comparison.first.task,
        "requests": comparison.first.requests,
        **{side: describe_cell(getattr(comparison, side)) for side in ("first", "second")},
        "accuracies": {metric: asdict(test) for metric, test in comparison.accuracies.items()},
        "likelihood": finite(asdict(comparison.likelihood)) if comparison.likelihood else None,
        "notes": list(comparison.notes),
    }


def describe_cell(cell: "ScoredCell") -> dict[str, object]:
    return {"cell": cell.name, "cell_id": cell.cell_id, "status": cell.status, "metrics": cell.metrics}


def finite(values: dict[str, object]) -> dict[str, object]:
    """JSON has no infinity, which t is when every item differs by the same amount."""
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in values.items()}


def print_comparison(comparison: "Comparison") -> None:
    table = Table(title=f"{comparison.first.task}: second minus first, positive where the second is better")
    for heading in ("", "first", "second", "difference", "std. error", "95 % interval", "p", "test"):
        table.add_column(heading, justify="left" if heading in ("", "test") else "right", no_wrap=True)
    for metric, test in comparison.accuracies.items():
        shares = (f"{test.first:.4f}", f"{test.second:.4f}")
        table.add_row(metric, *shares, *difference_words(test.difference), *accuracy_words(test))
    if (test := comparison.likelihood) is not None:
        per_item = (f"{value * test.n_tokens / test.n_items:.4f}" for value in (test.first, test.second))
        table.add_row("nats per item", *per_item, *difference_words(test.per_item), *likelihood_words(test))
        per_token = (f"{test.first:.4f}", f"{test.second:.4f}")
        table.add_row("nats per token", *per_token, *difference_words(test.per_token))
    console = open_console()
    console.print(table)
    for line in explanations(comparison):
        console.print(line, highlight=False, soft_wrap=True)


def explanations(comparison: "Comparison") -> Iterator[str]:
    """What stands below the table."""
    for side in ("first", "second"):
        cell = getattr(comparison, side)
        yield f"{side}: {cell.name} ({cell.cell_id}{'' if cell.status == 'ok' else f', {cell.status}'})"
    if comparison.accuracies:
        n_items = next(iter(comparison.accuracies.values())).n_items
        yield f"acc: {n_items:,} items; in brackets how many only the first : only the second answers right"
    if (test := comparison.likelihood) is not None:
        left_out = f"; {test.n_left_out} not finite in both are left out" if test.n_left_out else ""
        yield f"nats: {test.n_items:,} items, {test.n_tokens:,} tokens{left_out}"
    for note in comparison.notes:
        yield f"not tested: {note}"


def difference_words(difference: "Difference") -> tuple[str, str, str]:
    if difference.stderr is None:
        return f"{difference.value:+.4f}", "", ""
    interval = f"{difference.low:+.4f} to {difference.high:+.4f}"
    return f"{difference.value:+.4f}", f"{difference.stderr:.4f}", interval


def accuracy_words(test: "AccuracyTest") -> tuple[str, str]:
    kind = "McNemar, exact" if test.is_exact else "McNemar"
    return p_words(test.p_value), f"{kind} ({test.only_first} : {test.only_second})"


def likelihood_words(test: "LikelihoodTest") -> tuple[str, str]:
    if test.t is None or test.p_value is None:
        return "", "none of one item"
    return p_words(test.p_value), f"paired t = {test.t:.2f}"


def p_words(p_value: float) -> str:
    return f"{p_value:.4f}" if p_value >= 0.0001 else f"{p_value:.1e}"
