"""The other side of the benches: lm-eval's HFLM on token ids, or what it does, written plainly.

The plain form is for machines where lm-eval is not installed: requests sorted by length, padded batches of a fixed
number of them, the head and the log-softmax over every position [batch, length, vocabulary] in the model's dtype, two
synchronizations for each request.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

Pair = tuple[None, list[int], list[int]]
"""Nothing (where lm-eval has the texts), context, continuation."""


def make_hflm(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, logits_cache: bool) -> "HFLM":
    """lm-eval's own runner around a model that is loaded already. ModuleNotFoundError without lm-eval."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, logits_cache=logits_cache)


def run_hflm(harness: "HFLM", pairs: Sequence[Pair], batch_size: int) -> list[tuple[float, bool]]:
    """(log-likelihood, is greedy) of each pair, in order."""
    harness.batch_size_per_gpu = batch_size
    return harness._loglikelihood_tokens(pairs, disable_tqdm=True)  # noqa: SLF001 - scoring without tokenizing


@torch.inference_mode()
def score_plainly(
    model: PreTrainedModel, pairs: Sequence[Pair], batch_size: int, max_length: int
) -> list[tuple[float, bool]]:
    """What `run_hflm` gives, without lm-eval."""
    order = sorted(range(len(pairs)), key=lambda index: -len(pairs[index][1]) - len(pairs[index][2]))
    results: dict[int, tuple[float, bool]] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        results.update(zip(chosen, score_batch(model, [pairs[index] for index in chosen], max_length), strict=True))
    return [results[index] for index in range(len(pairs))]


def score_batch(model: PreTrainedModel, pairs: Sequence[Pair], max_length: int) -> list[tuple[float, bool]]:
    inputs = [
        torch.tensor((context + continuation)[-(max_length + 1) :][:-1], device=model.device)
        for _, context, continuation in pairs
    ]
    logprobs = F.log_softmax(model(torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True)).logits, dim=-1)
    found = []
    for (_, _, continuation), tokens, row in zip(pairs, inputs, logprobs, strict=True):
        scored = row[len(tokens) - len(continuation) : len(tokens)]
        targets = torch.tensor(continuation, device=model.device)
        greedy = (scored.argmax(dim=-1) == targets).all()
        found.append((float(scored.gather(1, targets[:, None]).sum()), bool(greedy)))
    return found
