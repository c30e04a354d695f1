"""What the bootstrap of the fits takes for items are the items behind lm-eval's metrics."""

from pathlib import Path

import numpy as np
import pytest

from kbit.evaluation.evaluate import evaluate_task, task_metrics
from kbit.evaluation.requests import build_requests, read_requests
from kbit.evaluation.requests_file import write_requests
from kbit.models.resident import Resident
from kbit.scaling.items import ItemScores
from kbit.scaling.resample import find_items
from kbit.spec.section import load_section
from kbit.spec.study import StudyConfig
from kbit.spec.tasks import TasksFile
from kbit.warehouse import Samples

CONFIG = Path(__file__).parents[2] / "config"
TINY = [choice.name for choice in load_section(StudyConfig, CONFIG / "tiny.yaml").tasks]
TASKS = {entry.name: entry for entry in load_section(TasksFile, CONFIG / "tasks.yaml").tasks}


@pytest.mark.parametrize("name", TINY)
def test_items_of_every_task_of_tiny_reproduce_the_headline_metric(
    name, task_locator, spec_of, embedded_model, tmp_path
):
    path = tmp_path / "requests.parquet"
    build_requests(spec_of(task_locator(name, 40), "neox-32x2"), path)
    results = [
        evaluate_task(Resident(embedded_model(model)), read_requests(path), 4096)
        for model in ("neox-32x2", "neox-64x2")
    ]
    metric = TASKS[name].metric
    scores = [value.value for result in results for value in result.metrics if value.name == metric]
    is_perplexity = TASKS[name].kind == "perplexity"
    assert all((result.greedy is None) == is_perplexity for result in results)
    samples = Samples(
        np.array([result.samples for result in results], dtype=np.float32),
        None if is_perplexity else np.array([result.greedy for result in results]),
    )
    items = find_items(path, metric, samples, np.array(scores))
    assert isinstance(items, ItemScores), items
    assert items.values.shape == (2, results[0].n_items)
    # An accuracy is a mean of zeros and ones; samples of a loss are rounded to float32, 2^-24 of each.
    assert items.means == pytest.approx(scores, rel=1e-6 if is_perplexity else 1e-12)


REAL = [
    ("lambada_openai", "acc"), ("winogrande", "acc"), ("boolq", "acc"), ("hellaswag", "acc"), ("hellaswag", "acc_norm"),
    ("piqa", "acc"), ("piqa", "acc_norm"), ("arc_easy", "acc"), ("arc_easy", "acc_norm"), ("arc_challenge", "acc"),
    ("arc_challenge", "acc_norm"), ("wikitext", "nats_per_byte"), ("c4", "nats_per_byte"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "metric"), REAL)
def test_items_of_the_real_tasks_reproduce_their_metrics(name, metric, real_task_requests, tmp_path):
    """In the columns of the real data; log-likelihoods drawn at random, so that two cells differ in many answers."""
    requests = real_task_requests(name)
    write_requests(requests, tmp_path / "requests.parquet")
    generator = np.random.default_rng(7)
    # Samples are stored as float32: ties that rounding makes must not change a metric.
    drawn = (-generator.gamma(4, 5, size=(2, len(requests)))).astype(np.float32)
    greedy = generator.random(drawn.shape) < 0.5
    scores = []
    for values, flags in zip(drawn, greedy, strict=True):
        metrics = {found.name: found.value for found in task_metrics(requests, values.astype(np.float64), flags)}
        scores.append(metrics[metric])
    samples = Samples(drawn, None if requests.is_rolling else greedy)
    items = find_items(tmp_path / "requests.parquet", metric, samples, np.array(scores))
    assert isinstance(items, ItemScores), items
    # Log-likelihoods of a page sum up in float32, 2^-24 of each.
    assert items.means == pytest.approx(scores, rel=1e-6 if requests.is_rolling else 1e-12)
