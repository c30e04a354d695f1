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

The logits of the corpus are never stored: p's are computed again from its last hidden states (`Baseline`).
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from kbit.evaluation.baseline import Baseline, are_finite
from kbit.evaluation.scorer import HEAD_ROWS, most_likely
from kbit.evaluation.standard_errors import ratio_error

if TYPE_CHECKING:
    from kbit.models.engine import Engine


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


def compare_tokens(logprobs: torch.Tensor, reference: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """float32 [4, n]: KL(p || q) in nats, log q(t), log p(t), and 1 where both have the same most likely token.

    logprobs: float32 [n, vocabulary], log q; reference: likewise, log p; targets: int64 [n].
    """
    p, q = reference.exp(), logprobs.exp()
    # q - p sums to 0 but for rounding. With it every term is >= 0 and an error in either normalizer, which p (log p -
    # log q) alone would take over whole, cancels to second order.
    divergence = (p * (reference - logprobs) + (q - p)).sum(dim=-1)
    chosen = [values.gather(1, targets[:, None])[:, 0] for values in (logprobs, reference)]
    agrees = most_likely(logprobs) == most_likely(reference)
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
