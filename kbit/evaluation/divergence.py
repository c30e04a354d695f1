"""How far a quantized model is from its own unquantized run on the same text, token by token.

With p the model at 16 bits (unquantized, in the same compute dtype), q the quantized one and t the token that stands in
the text, over all tokens scored:

* kl_divergence: mean of KL(p || q) = sum over the vocabulary of p (log p - log q), nats; kl_divergence_p99: its 99th
  percentile over tokens, for the few that are hurt most
* mean_delta_p, rms_delta_p: mean and root mean square of q(t) - p(t)
* top1_agreement: share of tokens where p and q have the same most likely token
* delta_nats_per_token: mean of log p(t) - log q(t), positive where quantization hurts: nats_per_token minus that at 16
  bits. Its exp is the ratio of the two perplexities per token.

As llama.cpp's perplexity tool defines them (its README, and `log_softmax` and `kl_divergence` of perplexity.cpp), but
over every token of the vocabulary and from values of full precision, where that tool stores log-probabilities in 16
bits and leaves out those below e^-16. Standard errors are over documents (ratio estimator), like that of nats_per_token
in the same row, because tokens of one text are hurt together: mean over tokens, but only as sure as its number of texts
allows; null for one text. (That tool's are over tokens.)

The logits of the corpus are never stored. The output layer is not quantized, so that p's logits are recomputed from p's
last hidden states, [n, width] in the compute dtype, which one pass of the unquantized model leaves (`Baseline`).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from kbit.evaluation.kept_states import make_room
from kbit.evaluation.requests import Requests
from kbit.evaluation.scorer import HEAD_ROWS, batches_of, score_tasks
from kbit.evaluation.standard_errors import ratio_error

if TYPE_CHECKING:
    from kbit.models.engine import Engine


class Baseline:
    """An observer of the unquantized model: keeps its last hidden states wherever a token is scored."""

    def __init__(self, owners: np.ndarray, token_budget: int) -> None:
        """owners: int [n], the document of every token scored, in the order of the pass."""
        self.owners = owners
        self.token_budget = token_budget
        self.states: torch.Tensor | None = None
        """[n, width] in the compute dtype, on the host."""
        self.n_seen = 0
        self.finite: list[torch.Tensor] = []

    def see(self, states: torch.Tensor, logprobs: torch.Tensor, targets: torch.Tensor) -> None:
        if self.states is None:
            self.states = make_room(len(self.owners), states.shape[1], states.dtype)
        self.states[self.n_seen : self.n_seen + len(targets)] = states.cpu()
        self.n_seen += len(targets)
        self.finite.append(are_finite(logprobs))

    @property
    def is_finite(self) -> bool:
        """Every logit of the pass is finite."""
        return all(torch.stack(self.finite).tolist())


class Comparison:
    """An observer of the quantized model: compares its predictions with those of a complete baseline."""

    def __init__(self, engine: "Engine", baseline: Baseline) -> None:
        self.engine = engine
        self.baseline = baseline
        self.n_seen = 0
        self.finite: list[torch.Tensor] = []
        self.tokens: list[torch.Tensor] = []

    def see(self, states: torch.Tensor, logprobs: torch.Tensor, targets: torch.Tensor) -> None:
        """Two models of the same weights compare as equal to the bit: the same shapes go through the same layer."""
        kept = self.baseline.states[self.n_seen : self.n_seen + len(targets)]
        # A tensor of its own: kernels may sum in another order where memory begins elsewhere.
        logits = self.engine.logits(torch.empty_like(states).copy_(kept))
        pieces = zip(logprobs.split(HEAD_ROWS), logits.split(HEAD_ROWS), targets.split(HEAD_ROWS), strict=True)
        for own, piece, wanted in pieces:
            reference = F.log_softmax(piece, dim=-1, dtype=torch.float32)
            self.tokens.append(compare_tokens(own, reference, wanted))
        self.finite.append(are_finite(logprobs))
        self.n_seen += len(targets)

    @property
    def is_finite(self) -> bool:
        """Every logit of the quantized model is finite."""
        return all(torch.stack(self.finite).tolist())

    def metrics(self) -> dict[str, tuple[float, float | None]]:
        """Name -> (value, standard error over documents); NaN where a logit of either model is not finite."""
        if self.n_seen != len(self.baseline.owners):
            raise RuntimeError(f"{self.n_seen} tokens were compared with a baseline of {len(self.baseline.owners)}")
        values = torch.cat(self.tokens, dim=1).cpu().numpy().astype(np.float64)
        if not (self.is_finite and self.baseline.is_finite):
            values = np.full_like(values, np.nan)
        return divergence_metrics(values, self.baseline.owners)


def are_finite(logprobs: torch.Tensor) -> torch.Tensor:
    """One bool, still on its device. None is above 0, so their sum is finite if and only if all are."""
    return torch.isfinite(logprobs.sum())


def compare_tokens(logprobs: torch.Tensor, reference: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """float32 [4, n]: KL(p || q) in nats, log q(t), log p(t), and 1 where both have the same most likely token.

    logprobs: float32 [n, vocabulary], log q; reference: likewise, log p; targets: int64 [n].
    """
    p, q = reference.exp(), logprobs.exp()
    # q - p sums to 0 but for rounding. With it every term is >= 0 and an error in either normalizer, which p (log p -
    # log q) alone would take over whole, cancels to second order.
    divergence = (p * (reference - logprobs) + (q - p)).sum(dim=-1)
    chosen = [values.gather(1, targets[:, None])[:, 0] for values in (logprobs, reference)]
    agrees = logprobs.argmax(dim=-1) == reference.argmax(dim=-1)
    return torch.stack([divergence, *chosen, agrees.float()])


def divergence_metrics(tokens: np.ndarray, owners: np.ndarray) -> dict[str, tuple[float, float | None]]:
    """Name -> (value, standard error over documents).

    tokens: float64 [4, n] as `compare_tokens` gives them; owners: int [n], the document of each.
    """
    divergence, own, reference, agrees = tokens
    delta_p = np.exp(own) - np.exp(reference)
    mean_square, error = mean_over_tokens(delta_p**2, owners)
    root = math.sqrt(mean_square)
    return {
        "kl_divergence": mean_over_tokens(divergence, owners),
        "kl_divergence_p99": (float(np.percentile(divergence, 99)), None),
        "mean_delta_p": mean_over_tokens(delta_p, owners),
        # The delta method; no difference at all has no error either.
        "rms_delta_p": (root, error and error / (2 * root)),
        "top1_agreement": mean_over_tokens(agrees, owners),
        "delta_nats_per_token": mean_over_tokens(reference - own, owners),
    }


def mean_over_tokens(values: np.ndarray, owners: np.ndarray) -> tuple[float, float | None]:
    """Mean of a value per token, and its standard error over documents; None for a single one."""
    documents, numbers = np.unique(owners, return_inverse=True)
    pairs = np.stack([np.bincount(numbers, weights=values), np.bincount(numbers)], axis=1)
    return float(values.mean()), float(ratio_error(pairs)) if len(documents) > 1 else None


class Baselines:
    """The baselines of a job's tasks: one pass of the unquantized model each, when it is first needed."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.of_task: dict[Requests, Baseline] = {}

    def missing(self, tasks: Sequence[Requests], token_budget: int) -> list[Requests]:
        """Tasks without a baseline in batches of this budget. Other batches would round otherwise."""
        return [task for task in tasks if task not in self.of_task or self.of_task[task].token_budget != token_budget]

    def record(self, tasks: Sequence[Requests], token_budget: int) -> None:
        """Run the tasks on the engine, which must be pristine now, in one pass."""
        for task in tasks:
            self.of_task.pop(task, None)  # frees its states before the new ones need room
        new = [Baseline(owners_of(self.engine, task, token_budget), token_budget) for task in tasks]
        score_tasks(self.engine, tasks, token_budget, new)
        self.of_task.update(zip(tasks, new, strict=True))

    def budget(self, tasks: Sequence[Requests], default: int) -> int:
        """Where to begin: at the smallest budget that a baseline of these tasks had to go down to."""
        return min([default, *(self.of_task[task].token_budget for task in tasks if task in self.of_task)])

    def compare(self, task: Requests) -> Comparison:
        """A new comparison with the task's baseline."""
        return Comparison(self.engine, self.of_task[task])


def owners_of(engine: "Engine", task: Requests, token_budget: int) -> np.ndarray:
    """int [n]: the document of every token scored, in the order of the pass."""
    return task.doc[np.concatenate([batch.owners for batch in batches_of(engine, task, token_budget)])]
