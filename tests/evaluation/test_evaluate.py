"""A cell's metrics: their standard errors, perplexities per token, byte and word, and models that collapsed."""

import math
import re

import numpy as np
import pytest
import torch
from lm_eval.api import metrics as lm_eval_metrics

from kbit.evaluation.evaluate import aggregate_items, evaluate_task
from kbit.evaluation.standard_errors import standard_error
from kbit.models.resident import Resident

BUDGET = 2048


def by_name(result) -> dict:
    return {metric.name: metric for metric in result.metrics}


def n_prefixes(requests) -> int:
    """Common starts of an item's requests, each counted once. The last token of a request is predicted, never read."""
    texts = zip(requests.doc.tolist(), requests.contexts, requests.continuations, strict=True)
    texts = [(doc, *context.tolist(), *continuation.tolist()) for doc, context, continuation in texts]
    return len({text[:length] for text in texts for length in range(2, len(text))})


def test_a_result_has_a_sample_per_request(embedded_model, requests_of):
    requests = requests_of("ho_hellaswag", 12)
    result = evaluate_task(Resident(embedded_model("neox-32x2")), requests, BUDGET)
    assert len(result.samples) == len(requests) == 48
    assert result.n_items == 12
    assert result.n_tokens == n_prefixes(requests)
    assert not result.collapsed
    gold = [doc["label"] for doc in requests.docs]
    chosen = np.reshape(result.samples, (12, 4)).argmax(axis=1)
    assert by_name(result)["acc"].value == np.mean(chosen == gold)


def test_greedy_matches_are_the_accuracy_of_the_last_word(embedded_model, requests_of):
    result = evaluate_task(Resident(embedded_model("neox-64x2")), requests_of("ho_lambada", 40), BUDGET)
    assert len(result.greedy) == 40
    assert 0 < np.mean(result.greedy) == by_name(result)["acc"].value < 1


def test_perplexity_per_token_byte_and_word(embedded_model, requests_of):
    requests = requests_of("ho_perplexity", 12)
    result = evaluate_task(Resident(embedded_model("neox-32x2")), requests, BUDGET)
    metrics = by_name(result)
    nats = -sum(result.samples)
    pages = [doc["page"] for doc in requests.docs]
    counts = {
        "nats_per_token": sum(map(len, requests.continuations)),
        "nats_per_byte": sum(len(page.encode()) for page in pages),
        "nats_per_word": sum(len(re.split(r"\s+", page)) for page in pages),
    }
    for name, count in counts.items():
        assert metrics[name].value == pytest.approx(nats / count, rel=1e-12)
        assert 0 < metrics[name].stderr < metrics[name].value
    assert math.exp(metrics["nats_per_word"].value) == pytest.approx(metrics["word_perplexity"].value, rel=1e-12)
    assert math.exp(metrics["nats_per_byte"].value) == pytest.approx(metrics["byte_perplexity"].value, rel=1e-12)
    assert len(result.samples) == result.n_items == 12


@pytest.mark.parametrize("name", ["mean", "perplexity", "weighted_perplexity", "bits_per_byte"])
def test_standard_errors_are_those_of_a_bootstrap(name):
    random = np.random.default_rng(0)
    values = random.normal(-2.0, 0.3, 400)
    if name in ("weighted_perplexity", "bits_per_byte"):
        weights = random.integers(20, 60, 400)
        values = np.stack([values * weights, weights], axis=1)
    aggregate = getattr(lm_eval_metrics, name)
    draws = [aggregate(values[random.integers(0, 400, 400)].tolist()) for _ in range(1000)]
    # 1,000 draws give a standard error to 1 / sqrt(2 * 1000) = 2.2 %; 10 % is more than four of those.
    assert standard_error(aggregate, values.tolist()) == pytest.approx(np.std(draws, ddof=1), rel=0.1)


def test_the_standard_error_of_an_accuracy_is_lm_evals():
    values = [1.0, 0.0, 0.0, 1.0, 1.0]
    assert standard_error(lm_eval_metrics.mean, values) == pytest.approx(lm_eval_metrics.mean_stderr(values), rel=1e-12)


def test_a_standard_error_that_nobody_knows_is_none():
    assert standard_error(lm_eval_metrics.mean, [1.0]) is None
    assert standard_error(lm_eval_metrics.perplexity, [-1.0, -math.inf]) is None
    assert standard_error(lm_eval_metrics.median, [1.0, 2.0]) is None


def test_a_perplexity_beyond_floats_is_none():
    with pytest.raises(OverflowError):
        lm_eval_metrics.perplexity([-2000.0, -2000.0])
    assert aggregate_items(lm_eval_metrics.perplexity, [-2000.0, -2000.0]) is None
    assert aggregate_items(lm_eval_metrics.perplexity, [-math.inf, -1.0]) is None
    assert aggregate_items(lm_eval_metrics.perplexity, [-1.0, -3.0]) == pytest.approx(math.exp(2))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_collapsed_model_is_a_result(fresh_model, requests_of, value):
    model = fresh_model("neox-32x2")
    model.gpt_neox.layers[0].mlp.dense_h_to_4h.weight.data[0, 0] = value
    choice = evaluate_task(Resident(model), requests_of("ho_hellaswag", 12), BUDGET)
    assert choice.collapsed
    assert not np.isfinite(choice.samples).any()
    # No ending has a probability: the first is taken.
    gold = [doc["label"] for doc in requests_of("ho_hellaswag", 12).docs]
    assert by_name(choice)["acc"].value == by_name(choice)["acc_norm"].value == gold.count(0) / 12

    word = evaluate_task(Resident(model), requests_of("ho_lambada", 12), BUDGET)
    assert word.collapsed
    assert not any(word.greedy)
    assert by_name(word)["acc"].value == 0.0
    assert by_name(word)["perplexity"].value is None

    page = evaluate_task(Resident(model), requests_of("ho_perplexity", 12), BUDGET)
    assert page.collapsed
    assert all(metric.value is None and metric.stderr is None for metric in page.metrics)


def test_one_bad_item_is_enough_to_call_a_model_collapsed(fresh_model, requests_of):
    requests = requests_of("ho_perplexity", 12)
    model = fresh_model("neox-32x2")
    tokens = [set(page.tolist()) for page in requests.continuations]
    common = set.union(*tokens[1:])
    rare = next(token for token in requests.continuations[0][:-1].tolist() if token not in common)
    with torch.no_grad():
        model.gpt_neox.embed_in.weight[rare] = math.nan  # met by the first page alone
    result = evaluate_task(Resident(model), requests, BUDGET)
    assert np.isfinite(result.samples).sum() == 11
    assert result.collapsed
