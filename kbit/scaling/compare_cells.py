"""Two cells of a study on the items that both answered: what their stored samples say, paired."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kbit.scaling.compare import AccuracyTest, LikelihoodTest, compare_accuracy, compare_likelihoods
from kbit.scaling.items import ItemScores, RequestTable, read_request_table
from kbit.scaling.resample import find_items
from kbit.spec.errors import UserError
from kbit.store.parts import part_rows, read_part
from kbit.warehouse import Samples

COLUMNS = ("cell_id", "task", "task_identity", "requests", "status", "error", "metrics", "samples", "greedy")
ACCURACIES = ("acc", "acc_norm")


@dataclass(frozen=True)
class ScoredCell:
    """A cell as its row has it."""

    name: str
    """As messages call it."""
    cell_id: str
    task: str
    task_identity: str
    requests: str
    """Digest of the requests file."""
    status: str
    metrics: dict[str, float]
    """Those with a finite value."""
    samples: NDArray[np.float32]
    """f32 [requests], nats."""
    greedy: NDArray[np.bool_] | None
    """[requests]; None where whole texts are scored."""


@dataclass(frozen=True)
class Comparison:
    """The second cell against the first."""

    first: ScoredCell
    second: ScoredCell
    accuracies: dict[str, AccuracyTest]
    """By metric: acc, acc_norm."""
    likelihood: LikelihoodTest | None
    """Of the text, the last word, or the right choice."""
    notes: tuple[str, ...]
    """Why a test is missing."""


def read_scored_cell(name: str, cell_id: str, part: Path) -> ScoredCell:
    """The cell's row of its part. UserError: it has no scores, or the part is missing or damaged."""
    rows = part_rows(read_part(part, COLUMNS).filter(pl.col("cell_id") == cell_id))
    if not rows:
        raise UserError(f"part {part} has no row of the cell {name} ({cell_id})")
    row = rows[0]
    if row["samples"] is None:
        raise UserError(f"the cell {name} has no scores to compare: its status is {row['status']} ({row['error']})")
    metrics = {metric["name"]: metric["value"] for metric in row.pop("metrics") or ()}
    known = {key: value for key, value in metrics.items() if value is not None and np.isfinite(value)}
    return ScoredCell(name=name, metrics=known, **{key: value for key, value in row.items() if key != "error"})


def compare_cells(first: ScoredCell, second: ScoredCell, requests: Path) -> Comparison:
    """Every paired test that the samples of both allow; `requests` is the file that both answered.

    UserError: they answered different requests, it is the same cell, or there is nothing to test.
    """
    check_pair(first, second)
    table = read_request_table(requests)
    if table is None or len(table.doc) != len(first.samples) or len(first.samples) != len(second.samples):
        raise UserError(f"no requests file {requests} of these samples: running the study builds it again")
    found = {metric: find_pair(first, second, requests, metric) for metric in ACCURACIES if has(metric, first, second)}
    accuracies = {
        metric: compare_accuracy(*items.values.astype(bool))
        for metric, items in found.items()
        if isinstance(items, ItemScores)
    }
    notes = [items for items in found.values() if isinstance(items, str)]
    likelihood = compare_scored(first, second, table, found)
    if isinstance(likelihood, str):
        notes.append(likelihood)
        likelihood = None
    if not accuracies and likelihood is None:
        raise UserError(f"{first.name} and {second.name} cannot be compared: {'; '.join(notes)}")
    return Comparison(first, second, accuracies, likelihood, tuple(notes))


def check_pair(first: ScoredCell, second: ScoredCell) -> None:
    if first.cell_id == second.cell_id:
        raise UserError(f"{first.name} and {second.name} are one cell ({first.cell_id}): there is nothing to compare")
    if first.requests == second.requests:
        return
    reason = "their models have different tokenizers"
    if first.task_identity != second.task_identity:
        reason = f"these are items of {first.task} and {second.task}"
    raise UserError(f"{first.name} and {second.name} did not answer the same requests: {reason}")


def has(metric: str, *cells: ScoredCell) -> bool:
    return all(metric in cell.metrics for cell in cells)


def find_pair(first: ScoredCell, second: ScoredCell, requests: Path, metric: str) -> ItemScores | str:
    """The items behind the metric of both cells, or why there are none."""
    flags = None if first.greedy is None or second.greedy is None else np.stack([first.greedy, second.greedy])
    samples = Samples(np.stack([first.samples, second.samples]), flags)
    return find_items(requests, metric, samples, np.array([cell.metrics[metric] for cell in (first, second)]))


def compare_scored(
    first: ScoredCell, second: ScoredCell, table: RequestTable, found: dict[str, ItemScores | str]
) -> LikelihoodTest | str:
    """The test on one request of each item, or why there is none."""
    if table.is_rolling or table.n_choices.max() == 1:
        scored = np.arange(len(table.doc))
    else:
        scored = next((items.scored for items in found.values() if isinstance(items, ItemScores)), None)
    if scored is None:
        return "which choice is right does not follow from the requests file"
    test = compare_likelihoods(first.samples[scored], second.samples[scored], table.n_tokens[scored])
    return test or "no item has a finite log-likelihood in both"
