"""The scorer against the plain definition: one request at a time, the whole model, log-softmax over all logits."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig

from kbit.evaluation import scorer
from kbit.evaluation.requests import Requests
from kbit.evaluation.scorer import max_length, score
from kbit.models.architectures import ARCHITECTURES
from kbit.models.resident import Resident

# float32 sums in another order (batch shape, chunk of the head) differ by a few units in the last place of a logit;
# a cell's identity allows 1e-4 nats (design: evaluation version).
NATS = 1e-4


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request, random_model):
    return random_model(request.param, 24)


def make_requests(output_type: str = "loglikelihood") -> Requests:
    random = np.random.default_rng(0)
    sizes = [(1, 1), (3, 2), (20, 4), (40, 3), (9, 7), (1, 24), (9, 7), (2, 1), (30, 24)]
    sizes = sizes if output_type == "loglikelihood" else [(1, n) for n in (1, 7, 24, 25, 60)]
    pairs = [(random.integers(0, 1024, context), random.integers(0, 1024, scored)) for context, scored in sizes]
    return Requests(
        header={"task": "random", "output_type": output_type, "tokenizer_max_length": None},
        docs=[{} for _ in pairs],
        doc=np.arange(len(pairs), dtype=np.int32),
        contexts=[context for context, _ in pairs],
        continuations=[continuation for _, continuation in pairs],
    )


@torch.no_grad()
def defined_score(model, context: np.ndarray, continuation: np.ndarray) -> tuple[float, bool]:
    """Log-likelihood and greedy flag of one continuation, float64 from the logits on."""
    tokens = torch.tensor([*context, *continuation])[-25:]
    logits = model(tokens[None, :-1]).logits[0].double()
    targets = tokens[-len(continuation) :]
    logprobs = torch.log_softmax(logits[-len(continuation) :], dim=-1)
    return logprobs[torch.arange(len(targets)), targets].sum().item(), bool((logprobs.argmax(-1) == targets).all())


def test_scores_are_those_of_the_definition(model):
    requests = make_requests()
    scores = score(Resident(model), requests, token_budget=64)
    expected = [defined_score(model, *pair) for pair in zip(requests.contexts, requests.continuations, strict=True)]
    np.testing.assert_allclose(scores.loglikelihoods, [value for value, _ in expected], rtol=0, atol=NATS)
    assert scores.greedy.tolist() == [greedy for _, greedy in expected]


@torch.no_grad()
def test_what_greedy_decoding_gives_is_flagged(model):
    tokens = torch.tensor([[5, 11, 3]])
    for _ in range(3):
        tokens = torch.cat([tokens, model(tokens).logits[:, -1:].argmax(-1)], dim=1)
    right, wrong = tokens[0].numpy(), tokens[0].numpy().copy()
    wrong[-2] = (wrong[-2] + 1) % 1024
    requests = Requests(
        header={"task": "greedy", "output_type": "loglikelihood", "tokenizer_max_length": None},
        docs=[{}, {}],
        doc=np.arange(2, dtype=np.int32),
        contexts=[right[:3], wrong[:3]],
        continuations=[right[3:], wrong[3:]],
    )
    assert score(Resident(model), requests, 64).greedy.tolist() == [True, False]


@pytest.mark.parametrize("output_type", ["loglikelihood", "loglikelihood_rolling"])
def test_batch_composition_does_not_move_a_score(model, output_type):
    requests = make_requests(output_type)
    alone, few, all_at_once = (score(Resident(model), requests, budget) for budget in (1, 50, 10_000))
    np.testing.assert_allclose(alone.loglikelihoods, few.loglikelihoods, rtol=0, atol=NATS)
    np.testing.assert_allclose(alone.loglikelihoods, all_at_once.loglikelihoods, rtol=0, atol=NATS)
    assert alone.n_tokens == few.n_tokens == all_at_once.n_tokens


def test_the_same_batches_give_the_same_bits(model):
    requests = make_requests()
    first, second = score(Resident(model), requests, 64), score(Resident(model), requests, 64)
    assert first.loglikelihoods.tobytes() == second.loglikelihoods.tobytes()


def test_the_head_in_pieces_gives_the_same_scores(model, monkeypatch):
    requests = make_requests()
    whole = score(Resident(model), requests, 10_000)
    monkeypatch.setattr(scorer, "CPU_HEAD_VALUES", 1024 * 4)
    monkeypatch.setattr(scorer, "HEAD_ROWS", 1)
    pieces = score(Resident(model), requests, 10_000)
    np.testing.assert_allclose(pieces.loglikelihoods, whole.loglikelihoods, rtol=0, atol=NATS)
    assert (pieces.greedy == whole.greedy).all()


def test_the_context_length_is_the_configs(model):
    assert max_length(model.config, make_requests()) == 24


def test_the_context_length_falls_back_to_the_tokenizers_and_to_that_of_lm_eval(embedded_tokenizer):
    from lm_eval.models.utils import resolve_max_length

    config = BloomConfig(vocab_size=97, hidden_size=32, n_layer=1, n_head=2)
    model = AutoModelForCausalLM.from_config(config)
    requests = make_requests()
    assert max_length(model.config, requests) == resolve_max_length(config, embedded_tokenizer) == 2048
    requests.header["tokenizer_max_length"] = 512
    assert max_length(model.config, requests) == 512
