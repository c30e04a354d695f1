"""A task rebuilt from its requests file needs neither its YAML nor its data; only functions come from their file."""

import json
import subprocess
import sys

import pytest

from kbit.evaluation.requests import make_requests
from kbit.evaluation.requests_file import read_requests_file, write_requests
from kbit.evaluation.stored_task import StoredTask
from kbit.spec.errors import UserError

YAML = """\
task: spoken
dataset_path: json
dataset_kwargs: {data_files: {test: spoken.jsonl}}
test_split: test
output_type: multiple_choice
process_docs: !function spoken.loud_docs
doc_to_text: !function spoken.question
doc_to_target: "{{ label }}"
doc_to_choice: "{{ [first, second] }}"
metric_list:
- {metric: acc, aggregation: !function spoken.share, higher_is_better: true}
metadata: {version: 3}
"""
FUNCTIONS = """\
def loud_docs(docs):
    return docs.map(lambda doc: {"first": doc["first"].upper()})


def question(doc):
    return doc["speaker"] + " said:"


def share(values):
    return 100 * sum(values) / len(values)
"""
DOCS = [
    {"speaker": "Moses", "first": "let my people go", "second": "stay", "label": 0},
    {"speaker": "Jonah", "first": "go east", "second": "go west", "label": 1},
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "spoken.yaml").write_text(YAML)
    (tmp_path / "spoken.py").write_text(FUNCTIONS)
    (tmp_path / "spoken.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in DOCS))
    return tmp_path


@pytest.fixture
def requests(folder, spec_of, embedded_tokenizer):
    locator = {
        "name": "spoken",
        "kind": "zero-shot",
        "metric": "acc",
        "version": "3",
        "dataset": None,
        "dataset_name": None,
        "revision": None,
        "yaml_file": str(folder / "spoken.yaml"),
        "data_files": [str(folder / "spoken.jsonl")],
        "item_limit": None,
    }
    write_requests(make_requests(spec_of(locator, "neox-32x2"), embedded_tokenizer), folder / "spoken.parquet")
    return read_requests_file(folder / "spoken.parquet")


def test_functions_of_a_definition_are_found_again_without_yaml_and_data(folder, requests, embedded_tokenizer):
    (folder / "spoken.yaml").unlink()
    (folder / "spoken.jsonl").unlink()
    assert [doc["first"] for doc in requests.docs] == ["LET MY PEOPLE GO", "GO EAST"]  # process_docs ran, once
    assert embedded_tokenizer.decode(requests.contexts[0]) == "Moses said:"
    task = StoredTask(requests.header["definition"], requests.docs)
    items = [task.process_results(doc, [(-1.0, False), (-2.0, False)])["acc"] for doc in requests.docs]
    assert items == [1.0, 0.0]
    assert task.aggregation()["acc"](items) == 50


def test_a_template_is_rendered_once_per_document(requests, monkeypatch):
    from lm_eval import utils

    task = StoredTask(requests.header["definition"], requests.docs)
    for doc in requests.docs:
        task.process_results(doc, [(-1.0, False), (-2.0, False)])
    monkeypatch.setattr(utils, "apply_template", lambda *_: pytest.fail("rendered again"))
    for doc in requests.docs:
        task.process_results(doc, [(-2.0, False), (-1.0, False)])


def test_a_function_that_is_gone_is_named(folder, requests):
    definition = json.loads(json.dumps(requests.header["definition"]).replace('"share"', '"part"'))
    with pytest.raises(UserError, match=r"spoken.py has no function part, which a task of this study uses"):
        StoredTask(definition, requests.docs)
    (folder / "spoken.py").unlink()
    with pytest.raises(UserError, match=r"no file .*spoken.py, whose function \w+ a task of this study uses"):
        StoredTask(requests.header["definition"], requests.docs)


def test_scoring_imports_no_runner_of_lm_eval():
    """They take seconds of every job: model backends, the evaluator, the metrics library."""
    code = "import kbit.evaluation.evaluate, sys; print([n for n in sys.argv[1:] if n in sys.modules])"
    heavy = ["lm_eval.models", "lm_eval.evaluator", "lm_eval.tasks", "evaluate"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
