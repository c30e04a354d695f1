"""Log-likelihoods of requests under a causal language model.

Differs from lm-eval's own runner in speed, not in numbers (tests/evaluation/test_parity.py): logits are computed only
where a continuation is predicted, what the requests of an item have in common is read once, and results leave the
device once per task, so that it never waits for the host between batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch.nn import functional as F

from kbit.evaluation.batches import Batch, prepare_batches
from kbit.evaluation.requests import Requests

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from kbit.models.engine import Engine

DEFAULT_MAX_LENGTH = 2048
"""Context length where neither model nor tokenizer states one; lm-eval's default."""
LENGTH_FIELDS = ("n_positions", "max_position_embeddings", "n_ctx", "seq_length")
"""Where configs state a context length. The last one is BLOOM's, which lm-eval does not look at: it takes 2048 for
every BLOOM, which is right for the published ones and wrong for one trained on shorter texts."""
CPU_HEAD_VALUES = 2**19
"""Logits a CPU computes at once: what fits its cache, 3 times faster than a whole batch (measured)."""
GPU_HEAD_VALUES = 2**27
"""Logits a GPU computes at once: bounds memory where a vocabulary is large (250,880 x 8,192 float32 would be 8 GB)."""
HEAD_ROWS = 256
"""Positions that go through the head together at least: below that a large head is read too often."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model makes of a task's requests."""

    loglikelihoods: np.ndarray
    """float64 [n_requests], nats: the sum over the continuation's tokens, each a float32 log-softmax."""
    greedy: np.ndarray
    """bool [n_requests]: the continuation is what greedy decoding would give."""
    n_tokens: int
    """Tokens that went through the model, padding left out."""


class Observer(Protocol):
    """Looks on while a task is scored."""

    def see(self, states: torch.Tensor, logprobs: torch.Tensor, targets: torch.Tensor) -> None:
        """Called for each piece of a batch, in order. states: [n, width], the last hidden states at scored positions;
        logprobs: float32 [n, vocabulary]; targets: int64 [n]. Only valid during the call.
        """


def max_length(config: "PretrainedConfig", requests: Requests) -> int:
    """Tokens the model reads at most."""
    config = config.get_text_config()
    stated = (getattr(config, field, None) for field in LENGTH_FIELDS)
    return (
        next((int(length) for length in stated if length), None)
        or requests.header["tokenizer_max_length"]
        or DEFAULT_MAX_LENGTH
    )


def score(engine: "Engine", requests: Requests, token_budget: int, observer: Observer | None = None) -> Scores:
    """Score every request of a task; batches hold at most `token_budget` tokens, padding included (or one row)."""
    return score_tasks(engine, [requests], token_budget, [observer])[0]


@torch.inference_mode()
def score_tasks(
    engine: "Engine", tasks: Sequence[Requests], token_budget: int, observers: Sequence[Observer | None]
) -> list[Scores]:
    """Score several tasks in one pass over the weights, one observer (or None) for each."""
    prepared = [batches_of(engine, requests, token_budget) for requests in tasks]
    hidden = engine.hidden_states([batch.inputs for batches in prepared for batch in batches])
    return [
        collect(engine, requests, batches, hidden, observer)
        for requests, batches, observer in zip(tasks, prepared, observers, strict=True)
    ]


def batches_of(engine: "Engine", requests: Requests, token_budget: int) -> tuple[Batch, ...]:
    longest = max_length(engine.config, requests)
    return prepare_batches(requests, longest, token_budget, engine.shares_prefixes, engine.device)


def collect(
    engine: "Engine",
    requests: Requests,
    batches: Sequence[Batch],
    hidden: Iterator[torch.Tensor],
    observer: Observer | None,
) -> Scores:
    """Scores of one task from the next hidden states of the pass."""
    # The batches stand first: zip must not draw hidden states that belong to the next task.
    scored = [score_batch(engine, batch, states, observer) for batch, states in zip(batches, hidden, strict=False)]
    owners = np.concatenate([batch.owners for batch in batches])
    values, misses = torch.cat(scored, dim=1).cpu().numpy()
    return Scores(
        loglikelihoods=np.bincount(owners, weights=values, minlength=len(requests)),
        greedy=np.bincount(owners, weights=misses, minlength=len(requests)) == 0,
        n_tokens=sum(batch.n_tokens for batch in batches),
    )


def score_batch(engine: "Engine", batch: Batch, hidden: torch.Tensor, observer: Observer | None) -> torch.Tensor:
    """float32 [2, n], still on its device: log-probability of each token scored, and 1 where another is more likely.

    hidden: [rows, length, width], what the engine makes of the batch.
    """
    selected = hidden.flatten(0, 1)[batch.positions.to(hidden.device)]
    rows = head_rows(hidden.device, engine.config.get_text_config().vocab_size)
    parts = []
    for states, targets in zip(selected.split(rows), batch.targets.split(rows), strict=True):
        logits = engine.logits(states)
        logprobs = F.log_softmax(logits, dim=-1, dtype=torch.float32)
        targets = targets.to(logprobs.device)
        if observer is not None:
            observer.see(states, logprobs, targets)
        parts.append(score_tokens(logprobs, targets))
    return torch.cat(parts, dim=1)


def head_rows(device: torch.device, vocabulary: int) -> int:
    """Positions that go through the head at once."""
    return max(HEAD_ROWS, (CPU_HEAD_VALUES if device.type == "cpu" else GPU_HEAD_VALUES) // vocabulary)


def score_tokens(logprobs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """float32 [2, n]: log-probability of each target, and 1 where it is not the most likely token.

    logprobs: float32 [n, vocabulary]; targets: int64 [n].
    """
    values = logprobs.gather(1, targets[:, None])[:, 0]
    return torch.stack([values, (most_likely(logprobs) != targets).float()])


def most_likely(logprobs: torch.Tensor) -> torch.Tensor:
    """int64 [n]: the most likely token, the first of several; a NaN counts as most likely.

    On a CPU numpy's argmax, which is 10 times as fast as torch's and agrees with it.
    """
    if logprobs.device.type == "cpu":
        return torch.from_numpy(logprobs.numpy().argmax(axis=-1))
    return logprobs.argmax(dim=-1)
