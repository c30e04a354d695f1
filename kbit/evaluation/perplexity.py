"""Cross-entropy of whole texts: nats per token, per byte, per word.

Per token compares models of one tokenizer only; per byte and per word compare all. Bytes and words are those lm-eval
divides by, so that exp(nats_per_word) is its word_perplexity: of the text before detokenization where a task says so.

A text of the user's own also gets `perplexity` = exp(nats_per_token). Where it is cut into windows, this is the number
of GPTQ's evaluation and of the papers that follow it (docs/adding-a-task.md).
"""

from collections.abc import Callable

import numpy as np

from kbit.evaluation.requests import Requests
from kbit.evaluation.standard_errors import ratio_error
from kbit.evaluation.stored_task import StoredTask

COUNTED_BY = {"nats_per_byte": ("byte_perplexity", "bits_per_byte"), "nats_per_word": ("word_perplexity",)}
"""lm-eval's metrics whose items are (log-likelihood, count)."""


def corpus_entropies(
    requests: Requests, task: StoredTask, loglikelihoods: np.ndarray, items: dict[str, list]
) -> dict[str, tuple[float, float | None]]:
    """Name -> (cross-entropy in nats, standard error over documents).

    loglikelihoods: float64 [n_docs], nats; items: lm-eval's per-document values by metric.
    """
    counts = {
        "nats_per_token": np.array([len(tokens) for tokens in requests.continuations]),
        "nats_per_byte": lm_eval_counts("nats_per_byte", items, task.count_bytes, task, requests),
    }
    if requests.window is None:  # windows cut words
        counts["nats_per_word"] = lm_eval_counts("nats_per_word", items, task.count_words, task, requests)
    entropies = {name: cross_entropy(loglikelihoods, count) for name, count in counts.items()}
    return entropies | ({"perplexity": exponential(*entropies["nats_per_token"])} if requests.is_text else {})


def exponential(nats: float, error: float | None) -> tuple[float, float | None]:
    """exp(nats), and its standard error by the delta method."""
    perplexity = float(np.exp(nats))
    return perplexity, None if error is None else perplexity * error


def lm_eval_counts(
    name: str, items: dict[str, list], count: Callable[[str], int], task: StoredTask, requests: Requests
) -> np.ndarray:
    """The counts a task's own metric divides by; those of the scored text if it has no such metric."""
    for metric in COUNTED_BY[name]:
        if metric in items:
            return np.array([weight for _, weight in items[metric]])
    return np.array([count(task.doc_to_target(doc)) for doc in requests.docs])


def cross_entropy(loglikelihoods: np.ndarray, counts: np.ndarray) -> tuple[float, float | None]:
    """-sum(loglikelihoods) / sum(counts), and its standard error; None for a single document."""
    error = ratio_error(np.stack([loglikelihoods, counts], axis=1)) if len(counts) > 1 else None
    return float(-loglikelihoods.sum() / counts.sum()), error
