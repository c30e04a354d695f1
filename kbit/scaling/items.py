"""Per-item scores from stored samples: what the bootstrap draws from.

A part keeps the log-likelihood of every request and whether it was a greedy match, the requests file the documents
behind them. How a task turns these into its metric is lm-eval's business (templates, functions); here are the few rules
that tasks of the paper's formats follow. A rule counts only if the items it scores average to the score of every cell:
`resample` checks that and keeps to the cells' standard errors otherwise.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kbit.warehouse import Samples

HEADER = b"kbit_requests"
COLUMNS = ["doc", "choice", "continuation", "document"]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ItemScores:
    """Items of one task for several cells: a cell's score is the sum of its values over the sum of the weights."""

    values: Floats
    """f32 [cells, items]"""
    weights: Floats
    """f32 [items]"""
    scored: NDArray[np.intp]
    """[items]: the request whose log-likelihood speaks for the item: the right choice, or its only one."""

    @property
    def means(self) -> NDArray[np.float64]:
        """f64 [cells]: the scores on all items."""
        return self.values.sum(axis=1, dtype=np.float64) / self.weights.sum(dtype=np.float64)


@dataclass(frozen=True)
class RequestTable:
    """What a requests file says of its requests, token ids left out."""

    definition: dict[str, object]
    """The task's definition in lm-eval's words."""
    is_rolling: bool
    """Whole texts were scored, one request per document."""
    doc: NDArray[np.int32]
    """[requests]: number of the document, ascending from 0."""
    choice: NDArray[np.int32]
    """[requests]: number of the request within its document."""
    n_tokens: NDArray[np.int64]
    """[requests]: tokens scored."""
    documents: list[dict[str, object]]

    @cached_property
    def n_choices(self) -> NDArray[np.int64]:
        """[documents]"""
        return np.bincount(self.doc)

    @cached_property
    def columns(self) -> dict[str, list[object]]:
        """The documents' fields by name; those of a mapping inside a document as templates write them: choices.text."""
        flat = [flatten(document) for document in self.documents]
        return {field: [document.get(field) for document in flat] for field in flat[0]}

    def fields(self, *named_by: str) -> list[str]:
        """The documents' fields: those that the given keys of the definition mention first, in their order."""
        mentioned = " ".join(str(self.definition.get(key)) for key in named_by)
        place = {field: mentioned.find(field) % (len(mentioned) + 1) for field in self.columns}
        return sorted(self.columns, key=lambda field: (place[field], field))

    def column(self, field: str) -> list[object]:
        return self.columns[field]


def flatten(document: dict[str, object]) -> dict[str, object]:
    inner = {
        f"{name}.{key}": item
        for name, value in document.items()
        if isinstance(value, dict)
        for key, item in value.items()
    }
    return {**document, **inner}


def read_request_table(path: Path) -> RequestTable | None:
    """The requests file, or None if it is missing or unreadable: only the intervals need it."""
    try:
        table = pq.read_table(path, columns=COLUMNS, partitioning=None)
    except (pa.ArrowException, OSError):
        return None
    header = json.loads(table.schema.metadata[HEADER])
    return RequestTable(
        definition=header.get("definition", {}),
        is_rolling=header["output_type"] == "loglikelihood_rolling",
        doc=table["doc"].to_numpy(),
        choice=table["choice"].to_numpy(),
        n_tokens=pc.list_value_length(table["continuation"]).to_numpy().astype(np.int64),
        documents=[json.loads(document) for document in table["document"].drop_null().to_pylist()],
    )


def candidate_scores(requests: RequestTable, metric: str, samples: Samples) -> Iterator[ItemScores]:
    """Every way in which the items may make up the metric.

    A log-likelihood that is not finite counts as no probability, as in kbit.evaluation.
    """
    loglikelihoods = np.where(np.isfinite(samples.loglikelihoods), samples.loglikelihoods, -np.inf)
    if requests.is_rolling:
        for sizes in text_sizes(requests, metric):
            yield ItemScores(-loglikelihoods, sizes.astype(np.float32), np.arange(len(sizes)))
    elif metric == "acc" and requests.n_choices.max() == 1:
        if samples.greedy is not None:
            yield of_equal_weight(samples.greedy, np.arange(len(requests.doc)))
    elif metric in ("acc", "acc_norm"):
        starts = np.cumsum(requests.n_choices) - requests.n_choices
        for lengths in choice_lengths(requests, metric):
            chosen = choose(requests, loglikelihoods / lengths)
            for gold in gold_choices(requests):
                yield of_equal_weight(chosen == gold, starts + gold)


def of_equal_weight(is_right: NDArray[np.bool_], scored: NDArray[np.intp]) -> ItemScores:
    """An accuracy's items; is_right [cells, items], scored [items]."""
    return ItemScores(is_right.astype(np.float32), np.ones(is_right.shape[1], dtype=np.float32), scored)


def text_sizes(requests: RequestTable, metric: str) -> Iterator[NDArray[np.int64]]:
    """[documents]: the unit that a loss is divided by, counted in every text of the documents."""
    if metric == "nats_per_token":
        yield requests.n_tokens
    if metric != "nats_per_byte":
        return
    for field in requests.fields("doc_to_target"):
        texts = requests.column(field)
        if all(isinstance(text, str) for text in texts):
            yield np.array([len(text.encode()) for text in texts])


def choice_lengths(requests: RequestTable, metric: str) -> Iterator[Floats]:
    """[requests]: what log-likelihoods are divided by before they are compared (acc_norm: characters of the choice)."""
    if metric == "acc":
        yield np.ones(len(requests.doc), dtype=np.float32)
        return
    for lists in choice_texts(requests):
        fits = all(len(texts) == n for texts, n in zip(lists, requests.n_choices, strict=True))
        if fits and all(isinstance(text, str) and text for texts in lists for text in texts):
            yield np.array([len(text) for texts in lists for text in texts], dtype=np.float32)


def choice_texts(requests: RequestTable) -> Iterator[Sequence[Sequence[object]]]:
    """[documents]: fields that list the choices; then the texts in fields of their own that the definition names."""
    fields = requests.fields("doc_to_choice")
    for field in fields:
        if all(isinstance(texts, list) for texts in requests.column(field)):
            yield requests.column(field)
    named = [field for field in fields if field in str(requests.definition.get("doc_to_choice"))]
    yield list(zip(*map(requests.column, named), strict=True)) or [()] * len(requests.documents)


def choose(requests: RequestTable, scores: Floats) -> NDArray[np.intp]:
    """[cells, documents]: the choice with the highest score, the first of equals."""
    shape = (len(scores), len(requests.documents), int(requests.n_choices.max()))
    padded = np.full(shape, -np.inf, dtype=np.float32)
    padded[:, requests.doc, requests.choice] = scores
    return padded.argmax(axis=2)


def gold_choices(requests: RequestTable) -> Iterator[NDArray[np.int64]]:
    """[documents]: the right choice, by every field that says which it is."""
    if requests.n_choices.min() < 2:
        return
    for gold in numbered_choices(requests):
        if (gold >= 0).all() and (gold < requests.n_choices).all():
            yield gold


def numbered_choices(requests: RequestTable) -> Iterator[NDArray[np.int64]]:
    """[documents]: fields that number the choices from 0 or from 1; then those that name one of a list of labels."""
    columns = [requests.column(field) for field in requests.fields("doc_to_target", "doc_to_text")]
    for values in columns:
        if all(isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) for value in values):
            yield from (np.array([int(value) - first for value in values]) for first in (0, 1))
    for values, lists in product(columns, columns):
        if all(isinstance(labels, list) and value in labels for value, labels in zip(values, lists, strict=True)):
            yield np.array([labels.index(value) for value, labels in zip(values, lists, strict=True)])
