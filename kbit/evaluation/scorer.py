"""Log-likelihoods of requests under a causal language model.

Differs from lm-eval's own runner in speed, not in numbers (tests/evaluation/test_parity.py): logits are computed only
where a continuation is predicted, and results leave the device once per batch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from kbit.evaluation.batches import Batch, prepare_batches
from kbit.evaluation.requests import Requests

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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


def max_length(model: "PreTrainedModel", requests: Requests) -> int:
    """Tokens the model reads at most."""
    config = model.config.get_text_config()
    stated = (getattr(config, field, None) for field in LENGTH_FIELDS)
    return (
        next((int(length) for length in stated if length), None)
        or requests.header["tokenizer_max_length"]
        or DEFAULT_MAX_LENGTH
    )


@torch.inference_mode()
def score(model: "PreTrainedModel", requests: Requests, token_budget: int) -> Scores:
    """Score every request; batches hold at most `token_budget` tokens, padding included (or one sequence)."""
    device = model.get_input_embeddings().weight.device
    batches = prepare_batches(requests, max_length(model, requests), token_budget, device)
    scored = [score_batch(model, batch) for batch in batches]
    owners = np.concatenate([batch.owners for batch in batches])
    values, misses = (np.concatenate(parts) for parts in zip(*scored, strict=True))
    return Scores(
        loglikelihoods=np.bincount(owners, weights=values, minlength=len(requests)),
        greedy=np.bincount(owners, weights=misses, minlength=len(requests)) == 0,
        n_tokens=sum(batch.n_tokens for batch in batches),
    )


def score_batch(model: "PreTrainedModel", batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Per token scored: its log-probability, and whether another token was more likely. Two float32 arrays [n].

    No attention mask is passed: sequences start at position 0 and are padded on the right, where a causal model does
    not look, so that every architecture derives the right positions (OPT, BLOOM) by itself. Logits are the head applied
    to the last hidden states and nothing more: true of every registered architecture, as a test holds.
    """
    hidden = model.base_model(input_ids=batch.inputs, use_cache=False)[0]
    selected = hidden.flatten(0, 1)[batch.positions.to(hidden.device)]
    head = model.get_output_embeddings()
    rows = head_rows(hidden.device, head.weight.shape[0])
    parts = [
        score_tokens(head(states), targets)
        for states, targets in zip(selected.split(rows), batch.targets.split(rows), strict=True)
    ]
    values, misses = torch.cat(parts, dim=1).cpu().numpy()
    return values, misses


def head_rows(device: torch.device, vocabulary: int) -> int:
    """Positions that go through the head at once."""
    return max(HEAD_ROWS, (CPU_HEAD_VALUES if device.type == "cpu" else GPU_HEAD_VALUES) // vocabulary)


def score_tokens(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """float32 [2, n]: log-probability of each target, and 1 where it is not the most likely token.

    logits: [n, vocabulary]; targets: int64 [n].
    """
    targets = targets.to(logits.device)
    logprobs = F.log_softmax(logits, dim=-1, dtype=torch.float32)
    values = logprobs.gather(1, targets[:, None])[:, 0]
    return torch.stack([values, (logprobs.argmax(dim=-1) != targets).float()])
