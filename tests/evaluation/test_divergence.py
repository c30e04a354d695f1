"""Divergence of a quantized model from its own 16-bit run: against a plain computation over whole logits in float64."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch

from kbit.evaluation import baseline
from kbit.evaluation.baseline import Baseline, Baselines, make_room, owners_of
from kbit.evaluation.divergence import Comparison, compare_tokens
from kbit.evaluation.evaluate import TaskResult, evaluate_tasks
from kbit.evaluation.scorer import max_length, score
from kbit.models.quantized import quantized
from kbit.models.resident import Resident
from kbit.models.stored_weights import open_stored_weights
from kbit.models.streamed import Streamed
from kbit.spec.quant import CONTROL, QuantSpec

BUDGET = 1024
INT3, INT4 = (QuantSpec(data_type="int", bits=bits, block_size=64) for bits in (3, 4))
EQUAL = {
    "kl_divergence": (0.0, 0.0),
    "kl_divergence_p99": (0.0, None),
    "mean_delta_p": (0.0, 0.0),
    "rms_delta_p": (0.0, 0.0),
    "top1_agreement": (1.0, 0.0),
    "delta_nats_per_token": (0.0, 0.0),
}


def compare(model, requests, spec, token_budget=BUDGET) -> TaskResult:
    engine = Resident(model)
    baselines = Baselines(engine)
    baselines.record([requests], token_budget)
    with engine.quantized(spec):
        return evaluate_tasks(engine, [requests], token_budget, [Comparison(engine, baselines.of_task[requests])])[0]


def values_of(result) -> dict[str, tuple[float | None, float | None]]:
    return {metric.name: (metric.value, metric.stderr) for metric in result.metrics if metric.name in EQUAL}


def whole_logprobs(model, requests) -> list[torch.Tensor]:
    """Of each page, float64 [tokens, vocabulary]: everything the model predicts, with nothing shared or left out."""
    model = copy.deepcopy(model).double()
    pages = [np.concatenate(pair)[:-1] for pair in zip(requests.contexts, requests.continuations, strict=True)]
    with torch.no_grad():
        return [model(torch.from_numpy(page)[None], use_cache=False).logits[0].log_softmax(-1) for page in pages]


def plain_metrics(before, after, targets) -> dict[str, float]:
    p, q, t = torch.cat(before), torch.cat(after), torch.cat(targets)[:, None]
    kl = (p.exp() * (p - q)).sum(-1)
    delta = (q.gather(1, t).exp() - p.gather(1, t).exp())[:, 0]
    return {
        "kl_divergence": kl.mean().item(),
        "kl_divergence_p99": np.percentile(kl.numpy(), 99),
        "mean_delta_p": delta.mean().item(),
        "rms_delta_p": delta.square().mean().sqrt().item(),
        "top1_agreement": (p.argmax(-1) == q.argmax(-1)).double().mean().item(),
        "delta_nats_per_token": (p.gather(1, t) - q.gather(1, t)).mean().item(),
    }


@pytest.mark.parametrize("name", ["neox-32x2", "bloom-32x2"])
@pytest.mark.parametrize("spec", [INT3, INT4], ids=lambda spec: spec.slug)
def test_metrics_are_those_of_whole_logits_in_float64(embedded_model, requests_of, name, spec):
    model, requests = embedded_model(name), requests_of("ho_perplexity", 6)
    pages = [torch.from_numpy(page) for page in requests.continuations]
    assert max(map(len, pages)) <= max_length(model.config, requests)  # one window each
    before = whole_logprobs(model, requests)
    with quantized(model, spec):
        after = whole_logprobs(model, requests)
    expected = plain_metrics(before, after, pages)
    result = compare(model, requests, spec)
    measured = values_of(result)
    assert measured.keys() == expected.keys()
    for metric, value in expected.items():
        # float32 hidden states: log-probabilities to some 1e-5 nats, their means closer.
        assert measured[metric][0] == pytest.approx(value, rel=1e-4, abs=2e-6), metric
    assert expected["kl_divergence"] > 1e-3  # the models do differ
    assert {metric.n for metric in result.metrics if metric.name in EQUAL} == {sum(map(len, pages))}


def test_standard_errors_are_over_documents(embedded_model, requests_of):
    model, requests = embedded_model("neox-32x2"), requests_of("ho_perplexity", 6)
    sizes = np.array([len(page) for page in requests.continuations])
    control, result = compare(model, requests, CONTROL), compare(model, requests, INT3)
    # The jackknife over pages, of a metric that the samples (nats of each page) give on their own.
    gaps = np.subtract(control.samples, result.samples)
    without = [(gaps.sum() - gaps[page]) / (sizes.sum() - sizes[page]) for page in range(6)]
    jackknife = math.sqrt(5 / 6 * np.square(np.subtract(without, np.mean(without))).sum())
    value, error = values_of(result)["delta_nats_per_token"]
    assert value == pytest.approx(gaps.sum() / sizes.sum(), rel=1e-6)
    # Both estimate the same error; of six pages of different lengths to some percent.
    assert error == pytest.approx(jackknife, rel=0.1)
    assert 0 < values_of(result)["rms_delta_p"][1] < values_of(result)["rms_delta_p"][0]


def test_one_document_has_no_standard_error(embedded_model, requests_of):
    measured = values_of(compare(embedded_model("neox-32x2"), requests_of("ho_perplexity", 1), INT4))
    assert {error for _, error in measured.values()} == {None}
    assert measured["kl_divergence"][0] > 0


@pytest.mark.parametrize("name", ["neox-32x2", "gpt2-32x2", "opt-32x2", "bloom-32x2"])
@pytest.mark.parametrize("token_budget", [BUDGET, 1])
def test_the_16_bit_model_equals_itself_to_the_bit(embedded_model, requests_of, name, token_budget):
    result = compare(embedded_model(name), requests_of("ho_perplexity", 3), CONTROL, token_budget)
    assert values_of(result) == EQUAL
    assert not result.collapsed


@pytest.mark.parametrize("spec", [CONTROL, INT3], ids=lambda spec: spec.slug)
def test_a_streamed_model_compares_as_a_resident_one(embedded_model, requests_of, spec_of, spec):
    stored = open_stored_weights(spec_of({"name": "any"}, "gpt2-32x2")["model"])
    streamed = Streamed(stored, torch.float32, torch.device("cpu"), "model 'gpt2-32x2'")
    # Two tasks, so that one pass records, and one compares, both.
    tasks = [requests_of("ho_perplexity", n, "gpt2-32x2") for n in (3, 2)]
    results = {}
    for engine in (streamed, Resident(embedded_model("gpt2-32x2"))):
        baselines = Baselines(engine)
        baselines.record(tasks, BUDGET)
        comparisons = [Comparison(engine, baselines.of_task[task]) for task in tasks]
        with engine.quantized(spec):
            results[engine.placement] = evaluate_tasks(engine, tasks, BUDGET, comparisons)
    assert results["streamed"] == results["twin"]
    assert all((values_of(result) == EQUAL) == (spec == CONTROL) for result in results["streamed"])


def test_a_comparison_changes_no_other_metric(embedded_model, requests_of):
    model, requests = embedded_model("neox-32x2"), requests_of("ho_perplexity", 3)
    compared = compare(model, requests, INT4)
    with quantized(model, INT4):
        plain = evaluate_tasks(Resident(model), [requests], BUDGET, [None])[0]
    assert compared.samples == plain.samples
    assert [metric for metric in compared.metrics if metric.name not in EQUAL] == plain.metrics


def test_states_in_a_file_give_the_same_bits(embedded_model, requests_of, monkeypatch):
    model, requests = embedded_model("neox-32x2"), requests_of("ho_perplexity", 3)
    in_memory = compare(model, requests, INT3)
    monkeypatch.setattr(baseline, "make_room", partial(make_room, host_bytes=0))
    assert compare(model, requests, INT3) == in_memory


@pytest.mark.parametrize(
    "spread", [1e-6, 1e-3, 1.0, 50.0], ids=["hardly apart", "close", "apart", "next to nothing in common"]
)
def test_kl_divergence_keeps_its_digits(spread):
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(40, 3000, generator=generator, dtype=torch.float64)
    others = logits + spread * torch.randn(40, 3000, generator=generator, dtype=torch.float64)
    # What the scorer hands over: float32.
    q, p = others.float().log_softmax(-1), logits.float().log_softmax(-1)
    measured = compare_tokens(q, p, torch.zeros(40, dtype=torch.int64))[0].double()
    exact_p, exact_q = logits.float().double().log_softmax(-1), others.float().double().log_softmax(-1)
    exact = (exact_p.exp() * (exact_p - exact_q)).sum(-1)
    # One rounding of a probability near 1; float32 sums of 3,000 terms besides. (The plain sum of p (log p - log q) is
    # off by up to 5e-7 where the models are close: measured.)
    assert torch.allclose(measured, exact, rtol=1e-5, atol=2**-23)


def take_a_choice_away(observer, monkeypatch) -> None:
    """The observer sees probability 0 at a token that is not scored there: every log-likelihood stays finite."""
    see = observer.see

    def see_without(states, logprobs, targets):
        hurt = logprobs.clone()
        hurt[0, (targets[0] + 1) % hurt.shape[1]] = -math.inf
        see(states, hurt, targets)

    monkeypatch.setattr(observer, "see", see_without)


@pytest.mark.parametrize("where", ["baseline", "quantized"])
def test_a_logit_that_is_not_finite_leaves_no_divergence(embedded_model, requests_of, where, monkeypatch):
    engine, requests = Resident(embedded_model("neox-32x2")), requests_of("ho_perplexity", 2)
    baselines = Baselines(engine)
    baselines.of_task[requests] = Baseline(owners_of(engine, requests, BUDGET), BUDGET)
    comparison = Comparison(engine, baselines.of_task[requests])
    take_a_choice_away(baselines.of_task[requests] if where == "baseline" else comparison, monkeypatch)
    score(engine, requests, BUDGET, baselines.of_task[requests])
    result = evaluate_tasks(engine, [requests], BUDGET, [comparison])[0]
    assert set(values_of(result).values()) == {(None, None)}
    # The cell has collapsed if its own model has; a baseline that has is another cell's result.
    assert result.collapsed == (where == "quantized")
    assert np.isfinite(result.samples).all()
    assert next(metric.value for metric in result.metrics if metric.name == "nats_per_token") > 0


def test_a_comparison_with_other_batches_is_an_error(embedded_model, requests_of):
    engine, requests, fewer = Resident(embedded_model("neox-32x2")), *(requests_of("ho_perplexity", n) for n in (3, 2))
    baselines = Baselines(engine)
    baselines.record([requests], BUDGET)
    with pytest.raises(RuntimeError, match="tokens were compared with a baseline of"):
        evaluate_tasks(engine, [fewer], BUDGET, [Comparison(engine, baselines.of_task[requests])])


def test_a_baseline_is_recorded_again_for_other_batches_alone(embedded_model, requests_of):
    baselines = Baselines(Resident(embedded_model("neox-32x2")))
    requests = requests_of("ho_perplexity", 2)
    assert baselines.missing([requests], 64) == [requests]
    assert baselines.budget([requests], 64) == 64
    baselines.record([requests], 32)
    assert baselines.missing([requests], 32) == []
    assert baselines.missing([requests], 64) == [requests]
    assert baselines.budget([requests], 64) == 32
