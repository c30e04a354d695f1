"""Sharing common starts moves no score, reads each token once, and is left out where an architecture has no way."""

from dataclasses import replace

import numpy as np
import pytest

from kbit.evaluation.requests import Requests
from kbit.evaluation.scorer import Scores, batches_of, max_length, score
from kbit.models import architectures
from kbit.models.architectures import ARCHITECTURES
from kbit.models.load import DTYPES
from kbit.models.resident import Resident

TASKS = ("ho_lambada", "ho_winogrande", "ho_piqa", "ho_hellaswag", "ho_perplexity")
BRANCHED = ("ho_winogrande", "ho_piqa", "ho_hellaswag")
REAL_BRANCHED = ("winogrande", "hellaswag", "piqa", "arc_easy", "arc_challenge", "boolq")
ITEMS = 40
BUDGET = 2048
NATS = 1e-4
"""What a score may move before the evaluation's version, and with it every cell's identity, changes (design)."""


def plain(model) -> Resident:
    """An engine that gives every request a row of its own."""
    engine = Resident(model)
    engine.shares_prefixes = False
    return engine


def prefixes(requests: Requests, limit: int) -> set[tuple[int, ...]]:
    """(document, tokens) of every start of a request that is read: all but its last token, the last `limit` of them."""
    texts = zip(requests.doc.tolist(), requests.contexts, requests.continuations, strict=True)
    texts = [(doc, [*context.tolist(), *continuation.tolist()][:-1][-limit:]) for doc, context, continuation in texts]
    return {(doc, *text[:length]) for doc, text in texts for length in range(1, len(text) + 1)}


def assert_same_scores(ours: Scores, theirs: Scores) -> None:
    np.testing.assert_allclose(ours.loglikelihoods, theirs.loglikelihoods, rtol=0, atol=NATS)
    assert ours.greedy.tolist() == theirs.greedy.tolist()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["neox-32x2", "opt-32x2", "gpt2-32x2", "bloom-32x2"])
def test_scores_of_embedded_models_stay(name, task, embedded_model, requests_of):
    model, requests = embedded_model(name), requests_of(task, ITEMS)
    assert_same_scores(score(Resident(model), requests, BUDGET), score(plain(model), requests, BUDGET))


@pytest.mark.parametrize("task", REAL_BRANCHED)
@pytest.mark.parametrize("context", [32, 1024])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_of_every_architecture_stay(architecture, context, task, random_model, real_task_requests):
    """A context of 32 tokens cuts most requests on the left, by unequal lengths."""
    model, requests = random_model(architecture, context), real_task_requests(task)
    ours, theirs = score(Resident(model), requests, BUDGET), score(plain(model), requests, BUDGET)
    assert_same_scores(ours, theirs)
    if context == 1024:
        assert ours.n_tokens < theirs.n_tokens


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["neox-32x2", "opt-32x2", "gpt2-32x2", "bloom-32x2"])
def test_half_precision_agrees_as_far_as_it_goes(name, dtype, fresh_model, embedded_model, requests_of):
    """Sharing moves scores by less than computing in 16 bits does, and leaves them as far from float32 as they were.

    Measured over all items: 0.1 to 0.5 of that distance, which changes by 4 % at most.
    """
    requests = requests_of("ho_hellaswag", ITEMS)
    exact = score(Resident(embedded_model(name)), requests, BUDGET).loglikelihoods
    half = fresh_model(name).to(DTYPES[dtype])
    ours, theirs = (score(engine, requests, BUDGET).loglikelihoods for engine in (Resident(half), plain(half)))
    lost = np.sqrt(np.mean((theirs - exact) ** 2))
    assert lost > NATS
    assert np.sqrt(np.mean((ours - exact) ** 2)) < 1.1 * lost
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.75 * lost


@pytest.mark.parametrize("task", BRANCHED)
@pytest.mark.parametrize("context", [48, 256])
def test_every_common_start_is_read_once_and_little_is_padding(task, context, random_model, requests_of):
    requests, engine = requests_of(task, ITEMS), Resident(random_model("gpt2", context))
    assert max_length(engine.config, requests) == context
    batches = batches_of(engine, requests, BUDGET)
    n_tokens = sum(batch.n_tokens for batch in batches)
    assert n_tokens == len(prefixes(requests, context))
    assert n_tokens == score(engine, requests, BUDGET).n_tokens
    assert sum(batch.inputs.tokens.numel() for batch in batches) <= 1.05 * n_tokens


@pytest.mark.parametrize("task", REAL_BRANCHED)
def test_every_common_start_of_real_tasks_is_read_once(task, random_model, real_task_requests):
    requests, engine = real_task_requests(task), Resident(random_model("gpt2", 1024))
    assert sum(batch.n_tokens for batch in batches_of(engine, requests, BUDGET)) == len(prefixes(requests, 1024))


@pytest.mark.parametrize("task", ["ho_lambada", "ho_perplexity"])
def test_items_of_one_request_are_plain_rows(task, embedded_model, requests_of):
    batches = batches_of(Resident(embedded_model("neox-32x2")), requests_of(task, ITEMS), BUDGET)
    assert all(batch.inputs.ends is None for batch in batches)
    # Padding of pages too: in all, and (tests of batches) in each.
    padded = sum(batch.inputs.tokens.numel() for batch in batches)
    assert padded <= 1.05 * sum(batch.n_tokens for batch in batches)


def test_an_architecture_that_does_not_say_how_shares_nothing(monkeypatch, embedded_model, requests_of):
    model, requests = embedded_model("neox-32x2"), requests_of("ho_hellaswag", ITEMS)
    sharing = Resident(model)
    silent = replace(ARCHITECTURES["gpt_neox"], run_tries=None)
    monkeypatch.setitem(architectures.ARCHITECTURES, "gpt_neox", silent)
    engine = Resident(model)
    assert (sharing.shares_prefixes, engine.shares_prefixes) == (True, False)
    assert all(batch.inputs.ends is None for batch in batches_of(engine, requests, BUDGET))
    theirs = score(engine, requests, BUDGET)
    assert_same_scores(score(sharing, requests, BUDGET), theirs)
    n_read = sum(map(len, requests.contexts)) + sum(map(len, requests.continuations)) - len(requests)
    assert theirs.n_tokens == n_read
