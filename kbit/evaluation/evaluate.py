"""One cell's scores: log-likelihoods by our scorer, metrics by lm-eval's task."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from kbit.evaluation.divergence import Comparison
from kbit.evaluation.perplexity import corpus_entropies
from kbit.evaluation.requests import Requests
from kbit.evaluation.scorer import Scores, score_tasks
from kbit.evaluation.standard_errors import standard_error
from kbit.evaluation.stored_task import StoredTask

if TYPE_CHECKING:
    from kbit.models.engine import Engine


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a cell."""

    name: str
    value: float | None
    """None where it is not finite: the perplexity of a model that gives some text no probability."""
    stderr: float | None
    """Standard error over items; None where there is no closed form for it or it is not finite."""
    n: int
    """Items it is taken over; of a divergence, tokens."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a cell's row says of its scores."""

    metrics: list[Metric]
    samples: list[float]
    """Log-likelihood of every request in the order of the requests file, nats; of a perplexity task: of every
    document, whole. As computed, NaN and infinities included."""
    greedy: list[bool] | None
    """Of every request: each token scored is the most likely one, as the metrics count it (never where the
    log-likelihood is not finite). None of a perplexity task."""
    n_items: int
    n_tokens: int
    """Tokens that went through the model, padding left out."""
    collapsed: bool
    """Some logit is not finite: the quantized model computes no numbers any more, which is a result. Known of every
    logit where the model is compared with its baseline, of those that log-likelihoods are made of elsewhere."""


def evaluate_tasks(
    engine: "Engine", tasks: Sequence[Requests], token_budget: int, comparisons: Sequence[Comparison | None]
) -> list[TaskResult]:
    """Score the requests of several tasks in one pass over the weights, and take lm-eval's metrics of them.

    comparisons: of each task, a new one with its baseline in batches of the same budget, or None.
    A log-likelihood that is NaN or infinite counts as -inf and as not greedy: no probability. Accuracy is then still
    a number (among choices of no probability the first is taken), a perplexity or a divergence is None.
    UserError: a continuation is longer than the model's context.
    """
    scores = score_tasks(engine, tasks, token_budget, comparisons)
    return [
        task_result(requests, of_task, comparison)
        for requests, of_task, comparison in zip(tasks, scores, comparisons, strict=True)
    ]


def evaluate_task(engine: "Engine", requests: Requests, token_budget: int) -> TaskResult:
    """`evaluate_tasks` of one, without a comparison."""
    return evaluate_tasks(engine, [requests], token_budget, [None])[0]


def task_result(requests: Requests, scores: Scores, comparison: Comparison | None) -> TaskResult:
    finite = np.isfinite(scores.loglikelihoods)
    loglikelihoods, greedy = np.where(finite, scores.loglikelihoods, -np.inf), scores.greedy & finite
    return TaskResult(
        metrics=task_metrics(requests, loglikelihoods, greedy) + comparison_metrics(comparison),
        samples=scores.loglikelihoods.tolist(),
        greedy=None if requests.is_rolling else greedy.tolist(),
        n_items=len(requests.docs),
        n_tokens=scores.n_tokens,
        collapsed=not finite.all() or (comparison is not None and not comparison.is_finite),
    )


@lru_cache(maxsize=64)
def stored_task(requests: Requests) -> StoredTask:
    """The task of a requests file; made once per process."""
    return StoredTask(requests.header["definition"], requests.docs)


def task_metrics(requests: Requests, loglikelihoods: np.ndarray, greedy: np.ndarray) -> list[Metric]:
    """loglikelihoods: float64 [n_requests], finite or -inf; greedy: bool [n_requests]."""
    task = stored_task(requests)
    with np.errstate(all="ignore"):  # -inf - -inf and the like, in a collapsed model's softmax over choices
        items = item_values(task, requests, loglikelihoods.tolist(), greedy.tolist())
        entropies = corpus_entropies(requests, task, loglikelihoods, items) if requests.is_rolling else {}
    aggregates = task.aggregation()
    n = len(requests.docs)
    metrics = [
        Metric(name, aggregate_items(aggregates[name], values), standard_error(aggregates[name], values), n)
        for name, values in items.items()
    ]
    return metrics + [
        Metric(name, finite_or_none(value), finite_or_none(error), n) for name, (value, error) in entropies.items()
    ]


def comparison_metrics(comparison: Comparison | None) -> list[Metric]:
    if comparison is None:
        return []
    return [
        Metric(name, finite_or_none(value), finite_or_none(error), comparison.n_seen)
        for name, (value, error) in comparison.metrics().items()
    ]


def item_values(
    task: StoredTask, requests: Requests, loglikelihoods: list[float], greedy: list[bool]
) -> dict[str, list]:
    """lm-eval's per-document values of each metric, in the order of the documents."""
    responses = loglikelihoods if requests.is_rolling else list(zip(loglikelihoods, greedy, strict=True))
    bounds = np.searchsorted(requests.doc, np.arange(len(requests.docs) + 1))
    items: dict[str, list] = {}
    for doc, start, end in zip(requests.docs, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        for name, value in task.process_results(doc, responses[start:end]).items():
            items.setdefault(name, []).append(value)
    return items


def aggregate_items(aggregate: Callable, values: Sequence) -> float | None:
    try:
        return finite_or_none(aggregate(values))
    except OverflowError:  # math.exp in lm-eval's perplexity, of more than 709 nats an item
        return None


def finite_or_none(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
