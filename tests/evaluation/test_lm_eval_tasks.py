"""lm-eval's own tasks of config/tasks.yaml: described as lm-eval has them, rebuilt from a requests file as they were.

Their data lies on the hub. Here a folder of handwritten items in each data set's own columns (datasets/), laid out as a
data set of the hub is, takes its place; definition, functions, prompts and metrics are lm-eval's.
"""

import gzip
import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from kbit.evaluation.requests import make_requests
from kbit.evaluation.requests_file import read_requests_file, write_requests
from kbit.evaluation.stored_task import StoredTask
from kbit.evaluation.task_objects import load_task, task_manager
from kbit.spec.errors import UserError
from kbit.spec.section import load_section
from kbit.spec.tasks import TasksFile

TASKS_FILE = Path(__file__).parents[2] / "config" / "tasks.yaml"
ENTRIES = {entry.name: entry for entry in load_section(TasksFile, TASKS_FILE).tasks if entry.dataset and not entry.text}
DATASETS = Path(__file__).parent / "datasets"


def commit(name: str) -> str:
    """`datasets` names its cache of a folder by the folder's last part: no two data sets may share a commit."""
    return hashlib.sha1(name.encode()).hexdigest()


def cache_data_set(hub: Path, name: str) -> None:
    """A data set as fetching leaves it in the hub's cache: every split that lm-eval's definition names, alike."""
    folder = hub / f"datasets--{ENTRIES[name].dataset.replace('/', '--')}" / "snapshots" / commit(name)
    (items,) = (DATASETS / name).iterdir()
    files = {split: f"{split}.jsonl.gz" for split in ("train", "validation", "test")}
    if name == "c4":  # lm-eval's definition names these files
        files = {"train": "en/c4-train.00000-of-01024.json.gz", "validation": "en/c4-validation.00000-of-00008.json.gz"}
    for file in files.values():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(gzip.compress(items.read_bytes()))
    splits = [{"split": split, "path": file} for split, file in files.items()]
    configs = [{"config_name": ENTRIES[name].dataset_name or "default", "data_files": splits}]
    (folder / "README.md").write_text(f"---\n{json.dumps({'configs': configs})}\n---\n")


@pytest.fixture
def fetched_locator(tmp_path, task_locator, monkeypatch):
    """Locator of a task whose data lies in the hub's cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def fetch(name: str, item_limit: int | None = None) -> dict:
        cache_data_set(tmp_path / "hub", name)
        return task_locator(name, item_limit) | {"revision": commit(name)}

    return fetch


@pytest.fixture(params=ENTRIES)
def locator(request, fetched_locator):
    return fetched_locator(request.param)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_the_list_says_what_lm_eval_says(entry, task_locator):
    file = task_manager(task_locator(entry.name, None)).task_index[entry.name].yaml_path
    definition = load_yaml(file, resolve_func=False)  # with the keys that it includes
    assert entry.name == definition["task"]
    assert entry.dataset == definition["dataset_path"]
    assert entry.dataset_name == definition["dataset_name"]
    assert entry.version == str(definition["metadata"]["version"])
    assert (entry.kind == "perplexity") == (definition["output_type"] == "loglikelihood_rolling")


def test_a_task_rebuilt_without_data_gives_the_metrics_of_the_original(locator, spec_of, embedded_tokenizer, tmp_path):
    path = tmp_path / "requests.parquet"
    write_requests(make_requests(spec_of(locator, "neox-32x2"), embedded_tokenizer), path)
    requests = read_requests_file(path)
    rebuilt = StoredTask(requests.header["definition"], requests.docs)
    original = load_task(locator, tmp_path)

    original.build_all_requests()
    documents = [doc for _, doc in original.doc_iterator()]
    assert requests.docs == [json.loads(json.dumps(doc, default=lambda date: date.isoformat())) for doc in documents]
    draw = random.Random(0)
    items = {}
    for index, doc in enumerate(documents):
        n = int((requests.doc == index).sum())
        results = (
            [-draw.random() for _ in range(n)]
            if requests.is_rolling
            else [(-draw.random(), draw.random() < 0.5) for _ in range(n)]
        )
        expected = original.process_results(doc, results)
        assert rebuilt.process_results(requests.docs[index], results) == expected
        for name, value in expected.items():
            items.setdefault(name, []).append(value)
    assert ENTRIES[locator["name"]].kind == "perplexity" or locator["metric"] in items
    for name, values in items.items():
        assert rebuilt.aggregation()[name](values) == original.aggregation()[name](values)


def test_a_requests_file_of_lm_evals_task_names_no_place_of_this_machine(locator, spec_of, embedded_tokenizer):
    requests = make_requests(spec_of(locator, "neox-32x2"), embedded_tokenizer)
    text = json.dumps(requests.header["definition"])
    assert str(Path.home()) not in text
    assert "site-packages" not in text


def test_winogrande_scores_one_ending_under_two_contexts(fetched_locator, spec_of, embedded_tokenizer):
    requests = make_requests(spec_of(fetched_locator("winogrande", 1), "neox-32x2"), embedded_tokenizer)
    contexts = [embedded_tokenizer.decode(context) for context in requests.contexts]
    endings = [embedded_tokenizer.decode(continuation) for continuation in requests.continuations]
    assert contexts == [f"The lamp would not fit on the shelf because the {noun}" for noun in ("lamp", "shelf")]
    assert endings == [" was too tall."] * 2


@pytest.mark.parametrize("changes", [{}, {"files": [], "documents": 4}], ids=["files", "split"])
def test_a_text_may_be_a_data_set_of_the_hub(changes, fetched_locator, task_locator, spec_of, embedded_tokenizer):
    """c4_new, in windows that the few documents here fill."""
    locator = task_locator("c4_new", None) | {"revision": fetched_locator("c4")["revision"]}
    locator["text"] |= {"window": 64, **changes}
    requests = make_requests(spec_of(locator, "neox-32x2"), embedded_tokenizer)
    (items,) = (DATASETS / "c4").iterdir()
    documents = [json.loads(line)["text"] for line in items.read_text(encoding="utf-8").splitlines()]
    tokens = embedded_tokenizer(" ".join(documents[: locator["text"]["documents"]]), verbose=False)["input_ids"]
    windows = np.hstack([np.stack(requests.contexts), np.stack(requests.continuations)])
    assert len(windows) == len(tokens) // 64 > 2
    assert windows.ravel().tolist() == tokens[: windows.size]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"column": "page"}, "the data set allenai/c4 has no column 'page', only text, timestamp, url"),
        (
            {"split": "exam", "files": []},
            'cannot be loaded from the data set allenai/c4: ValueError: Unknown split "exam"',
        ),
    ],
    ids=["column", "split"],
)
def test_a_data_set_without_the_text_is_named(
    changes, message, fetched_locator, task_locator, spec_of, embedded_tokenizer
):
    locator = task_locator("c4_new", None) | {"revision": fetched_locator("c4")["revision"]}
    locator["text"] |= changes
    with pytest.raises(UserError, match=f"^task 'c4_new'.* {message}"):
        make_requests(spec_of(locator, "neox-32x2"), embedded_tokenizer)
