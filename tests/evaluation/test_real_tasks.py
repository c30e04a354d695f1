"""lm-eval's tasks over items on disk in the columns of the real data: their requests and scores are lm-eval's."""

import json
from pathlib import Path

import lm_eval.tasks
import numpy as np
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from kbit.evaluation.evaluate import evaluate_task
from kbit.evaluation.pin import pin_sheet
from kbit.evaluation.requests import make_requests
from kbit.evaluation.tries import make_rows
from kbit.evaluation.windows import cut_windows
from kbit.models.resident import Resident
from kbit.spec.errors import UserError
from kbit.spec.section import load_section
from kbit.spec.tasks import TasksFile

FOLDERS = {
    "lambada_openai": "lambada",
    "winogrande": "winogrande",
    "hellaswag": "hellaswag",
    "piqa": "piqa",
    "arc_easy": "arc",
    "arc_challenge": "arc",
    "boolq": "super_glue",
    "c4": "c4",
    "wikitext": "wikitext",
}
"""Of lm-eval's definitions, in its package."""
METRICS = {
    "lambada_openai": {"acc", "perplexity"},
    "winogrande": {"acc"},
    "hellaswag": {"acc", "acc_norm"},
    "piqa": {"acc", "acc_norm"},
    "arc_easy": {"acc", "acc_norm"},
    "arc_challenge": {"acc", "acc_norm"},
    "boolq": {"acc"},
    "c4": {"word_perplexity", "byte_perplexity", "bits_per_byte"},
    "wikitext": {"word_perplexity", "byte_perplexity", "bits_per_byte"},
}
REAL_TASKS = tuple(FOLDERS)
TASKS_FILE = Path(__file__).parents[2] / "config" / "tasks.yaml"
DATASETS = Path(__file__).parent / "datasets"
MODEL = "neox-32x2"


@pytest.fixture(scope="module")
def tasks_of_lm_eval(tmp_path_factory):
    """lm-eval's own task objects; only the data's place is another. Every split they name holds the same items."""
    from lm_eval.tasks import TaskManager

    package = Path(lm_eval.tasks.__file__).parent
    folders = [package / folder for folder in dict.fromkeys(FOLDERS.values())]
    manager = TaskManager(include_path=folders, include_defaults=False)
    tasks = {}
    for name in REAL_TASKS:
        (file,) = (DATASETS / name).iterdir()
        kwargs = {
            "data_files": dict.fromkeys(("train", "validation", "test"), str(file)),
            "cache_dir": str(tmp_path_factory.getbasetemp() / "datasets"),
        }
        place = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": kwargs}
        group = {"group": f"group_{name}", "task": [{"task": name, **place}]}
        tasks[name] = manager.load(group)["tasks"][name]
    return tasks


@pytest.fixture(scope="module")
def oracle(embedded_model, embedded_tokenizer):
    from lm_eval.models.huggingface import HFLM

    # logits_cache=False: the default cache gives wrong scores when tasks share text.
    return HFLM(
        pretrained=embedded_model(MODEL), tokenizer=embedded_tokenizer, batch_size=8, max_length=256, logits_cache=False
    )


@pytest.fixture(scope="module")
def results_of_lm_eval(oracle, tasks_of_lm_eval):
    from lm_eval import simple_evaluate

    return simple_evaluate(model=oracle, tasks=list(tasks_of_lm_eval.values()), bootstrap_iters=0, log_samples=True)


@pytest.mark.parametrize("name", REAL_TASKS)
def test_requests_are_those_of_lm_eval(name, tasks_of_lm_eval, real_task_requests, oracle, embedded_tokenizer):
    requests, task = real_task_requests(name), tasks_of_lm_eval[name]
    task.build_all_requests()
    instances = sorted(task.instances, key=lambda instance: (instance.doc_id, instance.idx))
    assert len(instances) == len(requests) >= 10
    assert [instance.doc_id for instance in instances] == requests.doc.tolist()
    for instance, context, continuation in zip(instances, requests.contexts, requests.continuations, strict=True):
        if requests.is_rolling:
            (page,) = instance.args
            expected = [oracle.prefix_token_id], oracle.tok_encode(page)
            assert embedded_tokenizer.decode(continuation) == page
        else:
            expected = oracle._encode_pair(*instance.args)
            assert embedded_tokenizer.decode([*context, *continuation]) == "".join(instance.args)
        assert (context.tolist(), continuation.tolist()) == expected


@pytest.mark.parametrize("name", REAL_TASKS)
def test_scores_and_metrics_are_those_of_lm_eval(name, results_of_lm_eval, real_task_requests, embedded_model):
    requests = real_task_requests(name)
    ours = evaluate_task(Resident(embedded_model(MODEL)), requests, token_budget=2048)
    samples = sorted(results_of_lm_eval["samples"][name], key=lambda sample: sample["doc_id"])
    responses = [response for sample in samples for response in sample["filtered_resps"]]
    expected = [response if requests.is_rolling else response[0] for response in responses]
    # 1e-3 nats an item: float32 sums over another batch shape.
    np.testing.assert_allclose(ours.samples, expected, rtol=0, atol=1e-3)
    if not requests.is_rolling:
        assert ours.greedy == [greedy for _, greedy in responses]
    metrics = {metric.name: metric.value for metric in ours.metrics}
    theirs = {key.removesuffix(",none"): value for key, value in results_of_lm_eval["results"][name].items()}
    for metric in METRICS[name]:
        # Accuracies are counts, equal; a perplexity is the exponential of a mean that differs by float32 rounding.
        assert metrics[metric] == (theirs[metric] if metric.startswith("acc") else pytest.approx(theirs[metric], 1e-4))


@pytest.mark.parametrize("name", ["arc_easy", "c4"])
def test_data_on_disk_may_be_parquet(
    name, real_task_locator, real_task_requests, spec_of, embedded_tokenizer, tmp_path
):
    (lines,) = (DATASETS / name).iterdir()
    table = pyarrow.json.read_json(lines)
    halves = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    pq.write_table(table.slice(0, 4), halves[0])
    pq.write_table(table.slice(4), halves[1])
    requests = make_requests(spec_of(real_task_locator(name, *halves), MODEL), embedded_tokenizer)
    expected = real_task_requests(name)
    for ours, theirs in zip(requests.continuations, expected.continuations, strict=True):
        assert ours.tolist() == theirs.tolist()


def test_a_date_among_the_columns_is_kept_as_text(real_task_requests):
    """JSON lines are read with their dates recognized, which JSON, and so a requests file, cannot hold."""
    assert real_task_requests("c4").docs[0]["timestamp"] == "2019-04-25T12:57:54"


@pytest.mark.parametrize("name", ["ho_lambada", "ho_winogrande", "ho_hellaswag", "ho_piqa", "ho_perplexity"])
def test_tokens_of_embedded_tasks_are_those_that_go_through_a_model(name, requests_of):
    entries = {entry.name: entry for entry in load_section(TasksFile, TASKS_FILE).tasks}
    requests = requests_of(name, entries[name].items + 1)
    rows = make_rows(requests, cut_windows(requests, 256), 4096, shares_prefixes=True)
    assert len(requests.docs) == entries[name].items
    assert round(sum(map(len, rows)) / len(requests.docs)) == entries[name].tokens_per_item


def test_pinning_passes_over_a_task_on_disk(tmp_path):
    sheet = tmp_path / "tasks.yaml"
    entry = {"name": "piqa", "kind": "zero-shot", "metric": "acc", "chance": 0.5, "version": "1.0"}
    sheet.write_text(json.dumps({"tasks": [entry | {"data_files": ["a.jsonl"]}]}))
    before = sheet.read_text()
    assert pin_sheet(sheet) == []
    assert sheet.read_text() == before


MISTAKES = {
    "a column is missing": (
        "piqa",
        '{"goal": "a", "sol1": "b"}',
        r"task 'piqa' cannot be loaded from .*a.jsonl: .* \(the columns are goal, sol1\)",
    ),
    "another task's rows": (
        "winogrande",
        '{"text": "a"}',
        r"task 'winogrande' .*: KeyError: .* \(the columns are text\)",
    ),
    "no JSON": ("boolq", '{"question": ', "task 'boolq': line 1 of .*a.jsonl is not JSON"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_data_on_disk_of_another_layout_is_one_clear_error(
    name, real_task_locator, spec_of, embedded_tokenizer, tmp_path
):
    task, row, message = MISTAKES[name]
    (tmp_path / "a.jsonl").write_text(row + "\n")
    with pytest.raises(UserError, match=message) as error:
        make_requests(spec_of(real_task_locator(task, tmp_path / "a.jsonl"), MODEL), embedded_tokenizer)
    assert "\n" not in str(error.value)
