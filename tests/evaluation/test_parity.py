"""Our scores are those of lm-eval's own runner: the same task files, evaluated by `simple_evaluate` with HFLM."""

from pathlib import Path

import numpy as np
import pytest

from kbit.evaluation.evaluate import evaluate_task, task_metrics
from kbit.evaluation.scorer import max_length, score
from kbit.models.architectures import ARCHITECTURES
from kbit.models.resident import Resident

TASKS = ("ho_lambada", "ho_winogrande", "ho_piqa", "ho_hellaswag", "ho_perplexity")
REAL_TASKS = ("lambada_openai", "winogrande", "hellaswag", "piqa", "arc_easy", "arc_challenge", "boolq")
TRAINED = ("neox-32x2", "opt-32x2", "gpt2-32x2", "bloom-32x2")
# Untrained ones: a Llama, an OPT that projects its embedding as opt-350m does; and every architecture with a context of
# 48 tokens, which cuts most requests on the left, those of an item by unequal lengths, and pages into windows.
RANDOM = (("llama", 256), ("opt", 256), *((architecture, 48) for architecture in ARCHITECTURES))
ITEMS = 40
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tasks_of_lm_eval(tmp_path_factory):
    """The embedded tasks for anybody's lm-eval: the same files with the data's place written out."""
    from lm_eval.tasks import TaskManager

    folder = tmp_path_factory.mktemp("tasks")
    for name in TASKS:
        text = (ROOT / "data" / "tasks" / f"{name}.yaml").read_text()
        data = ROOT / "data" / "tasks" / f"{name}.jsonl"
        assert f"test: {name}.jsonl" in text
        (folder / f"{name}.yaml").write_text(text.replace(f"test: {name}.jsonl", f"test: {data}"))
    return TaskManager(include_path=folder, include_defaults=False)


@pytest.fixture(scope="module")
def oracle_of(embedded_tokenizer, requests_of):
    """lm-eval's runner of a model."""
    from lm_eval.models.huggingface import HFLM

    # The one thing said to HFLM: BLOOM's context length, which it does not find in the config (scorer.LENGTH_FIELDS).
    # logits_cache=False: its default cache gives wrong scores when tasks share text.
    def make(model):
        context = max_length(model.config, requests_of("ho_piqa", ITEMS))
        return HFLM(
            pretrained=model, tokenizer=embedded_tokenizer, batch_size=16, max_length=context, logits_cache=False
        )

    return make


@pytest.fixture(scope="module", params=[*TRAINED, *RANDOM], ids=str)
def both(request, tasks_of_lm_eval, embedded_model, random_model, oracle_of):
    """(model, lm-eval's results)"""
    from lm_eval import simple_evaluate

    model = embedded_model(request.param) if request.param in TRAINED else random_model(*request.param)
    results = simple_evaluate(
        model=oracle_of(model),
        tasks=list(TASKS),
        task_manager=tasks_of_lm_eval,
        limit=ITEMS,
        bootstrap_iters=0,
        log_samples=True,
    )
    return model, results


@pytest.mark.parametrize("task", TASKS)
def test_loglikelihoods_and_greedy_flags_are_those_of_lm_eval(both, task, requests_of):
    model, results = both
    ours = score(Resident(model), requests_of(task, ITEMS), token_budget=2048)
    samples = sorted(results["samples"][task], key=lambda sample: sample["doc_id"])
    theirs = [response for sample in samples for response in sample["filtered_resps"]]
    rolling = task == "ho_perplexity"
    expected = [response if rolling else response[0] for response in theirs]
    # 1e-3 nats an item: float32 sums over another batch shape; a page of 200 tokens or more gathers the most.
    np.testing.assert_allclose(ours.loglikelihoods, expected, rtol=0, atol=1e-3)
    if not rolling:
        assert ours.greedy.tolist() == [greedy for _, greedy in theirs]


@pytest.mark.parametrize("task", TASKS)
def test_metrics_are_those_of_lm_eval(both, task, requests_of):
    model, results = both
    metrics = {metric.name: metric for metric in evaluate_task(Resident(model), requests_of(task, ITEMS), 2048).metrics}
    theirs = {
        key.removesuffix(",none"): value
        for key, value in results["results"][task].items()
        if key.endswith(",none") and "stderr" not in key
    }
    assert theirs
    for name, value in theirs.items():
        # Accuracies are counts, equal; a perplexity is the exponential of a mean that differs by float32 rounding.
        assert metrics[name].value == (value if name.startswith("acc") else pytest.approx(value, rel=1e-4))
        assert metrics[name].n == ITEMS


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_real_tasks_score_as_in_lm_eval(architecture, random_model, real_task_requests, oracle_of):
    """The formats and lengths of lm-eval's own tasks, over token ids that tests of real tasks hold equal to its own."""
    model = random_model(architecture, 1024)
    oracle = oracle_of(model)
    for task in REAL_TASKS:
        requests = real_task_requests(task)
        pairs = zip(requests.contexts, requests.continuations, strict=True)
        texts = [(None, context.tolist(), continuation.tolist()) for context, continuation in pairs]
        theirs = oracle._loglikelihood_tokens(texts, disable_tqdm=True)
        ours = score(Resident(model), requests, token_budget=2048)
        expected = np.array([value for value, _ in theirs]), np.array([greedy for _, greedy in theirs])
        np.testing.assert_allclose(ours.loglikelihoods, expected[0], rtol=0, atol=1e-3, err_msg=task)
        assert ours.greedy.tolist() == expected[1].tolist(), task
        metrics = [task_metrics(requests, *scores) for scores in ((ours.loglikelihoods, ours.greedy), expected)]
        for mine, other in zip(*metrics, strict=True):
            # Accuracies are counts, equal; a perplexity differs by float32 rounding.
            assert mine.value == (other.value if mine.name.startswith("acc") else pytest.approx(other.value, rel=1e-4))
