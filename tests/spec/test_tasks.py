"""Where a task's data lies and what defines it: what identifies such a task, and what is refused."""

from pathlib import Path

import pytest

from kbit.spec.digest import digest_json
from kbit.spec.errors import UserError
from kbit.spec.section import parse_section
from kbit.spec.tasks import Task, TaskEntry, resolve_task
from kbit.spec.text import TextConfig

PIQA = {"name": "piqa", "kind": "zero-shot", "metric": "acc", "chance": 0.5, "version": "1.0"}
PROSE = {"name": "prose", "kind": "perplexity", "metric": "perplexity", "version": "1"}
HUB = {"dataset": "Salesforce/wikitext", "revision": "b08601e"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(f'{{"goal": "{name}"}}\n')
    for name in ("a.parquet", "a.txt", "a.csv"):
        (tmp_path / name).write_text("some content")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "own.yaml").write_text("task: piqa\n")
    return tmp_path


def resolve(folder: Path, entry: dict, **changes: object) -> Task:
    return resolve_task(parse_section(TaskEntry, entry | changes, "tasks.yaml"), None, folder / "tasks.yaml")


def test_a_task_of_lm_eval_on_disk_is_identified_by_its_name_and_its_data(folder):
    identity = resolve(folder, PIQA, data_files=["a.jsonl"]).identity
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "renamed.jsonl").write_bytes((folder / "a.jsonl").read_bytes())
    assert resolve(folder, PIQA, data_files=["elsewhere/renamed.jsonl"], metric="acc_norm").identity == identity
    others = [
        resolve(folder, PIQA, data_files=["b.jsonl"]),
        resolve(folder, PIQA, data_files=["a.jsonl", "b.jsonl"]),
        resolve(folder, PIQA, data_files=["b.jsonl", "a.jsonl"]),
        resolve(folder, PIQA, data_files=["a.jsonl"], version="2.0"),
        resolve(folder, PIQA, data_files=["a.jsonl"], name="social_iqa"),
        resolve(folder, PIQA, data_files=["a.jsonl"], yaml_file="own.yaml"),
        resolve(folder, PIQA, dataset="baber/piqa"),
    ]
    assert len({identity, *(task.identity for task in others)}) == 8


def test_a_text_is_identified_by_its_settings_and_its_data(folder):
    text = {"window": 2048}
    identity = resolve(folder, PROSE, data_files=["a.txt"], text=text).identity
    spelled_out = text | {"separator": "\n\n", "documents": None}
    for same in (
        resolve(folder, PROSE, data_files=["a.txt"], text=spelled_out),
        resolve(folder, PROSE, data_files=["a.txt"], text=text, metric="nats_per_byte", label="Prose"),
    ):
        assert same.identity == identity
    others = [
        resolve(folder, PROSE, data_files=["a.jsonl"], text=text),
        resolve(folder, PROSE, data_files=["a.txt"], text={}),
        resolve(folder, PROSE, dataset="Salesforce/wikitext", text={**text, "split": "test"}),
        resolve(folder, PROSE, **HUB, text={**text, "split": "test"}),
        resolve(folder, PROSE, **HUB, text={**text, "split": "train"}),
        *(
            resolve(folder, PROSE, data_files=["a.txt"], text={**text, **change})
            for change in ({"window": 1024}, {"separator": " "}, {"documents": 5}, {"windows": 5}, {"column": "page"})
        ),
        resolve(folder, PROSE, data_files=["a.txt"], text=text, name="verse"),
    ]
    assert len({identity, *(task.identity for task in others)}) == 12


def test_how_a_files_name_says_it_is_read_tells_texts_of_the_same_bytes_apart(folder):
    """One document that begins with a brace, or a document a line."""
    (folder / "a.jsonl").rename(folder / "lines.jsonl")
    (folder / "whole.txt").write_bytes((folder / "lines.jsonl").read_bytes())
    lines, whole = (resolve(folder, PROSE, data_files=[name], text={}) for name in ("lines.jsonl", "whole.txt"))
    assert lines.identity != whole.identity


def test_identities_of_hub_tasks_are_as_they_were(folder):
    """Of tasks as they could be written before texts and data on disk: computed by hand."""
    entry = PIQA | {"dataset": "baber/piqa", "revision": "142f6d7"}
    definition = digest_json(["piqa", "baber/piqa", None, "142f6d7"])
    assert resolve(folder, entry).identity == digest_json([definition, "1.0", None])
    assert "text" not in resolve(folder, entry).locator()


BOTH = "needs exactly one of dataset (on the hub) and data_files (local)"
ENTRIES = {
    "no data": ({}, f"task 'prose' {BOTH}"),
    "two sources of data": ({**HUB, "data_files": ["a.txt"], "text": {}}, f"task 'prose' {BOTH}"),
    "a revision of nothing": (
        {"data_files": ["a.txt"], "text": {}, "revision": "b08601e"},
        "task 'prose': dataset_name and revision are those of a dataset, which it has not",
    ),
    "two definitions": (
        {"data_files": ["a.txt"], "text": {}, "yaml_file": "own.yaml"},
        "task 'prose' has both a yaml_file and text, which are two ways to define it",
    ),
    "accuracy of a text": (
        {"data_files": ["a.txt"], "text": {}, "kind": "zero-shot", "chance": 0.5},
        "task 'prose': a text is scored whole, its kind is perplexity, not zero-shot",
    ),
    "words of windows": (
        {"data_files": ["a.txt"], "text": {"window": 5}, "metric": "nats_per_word"},
        "task 'prose': metric 'nats_per_word' is none of nats_per_token, perplexity, nats_per_byte",
    ),
    "no split": ({**HUB, "text": {}}, "task 'prose': text of a dataset needs its split, such as test"),
    "a split of files": (
        {"data_files": ["a.txt"], "text": {"split": "test"}},
        "task 'prose': split and files of a text are those of a dataset, which it has not",
    ),
    "a window of one": (
        {"data_files": ["a.txt"], "text": {"window": 1}},
        "text.window: 1: input should be greater than or equal to 2",
    ),
    "a separator of nothing": (
        {"data_files": ["a.txt"], "text": {"separator": " ", "windows": 3}},
        "text: separator and windows of a text mean nothing without window",
    ),
    "windows spread over a text, nobody knows how many": (
        {"data_files": ["a.txt"], "text": {"window": 5, "spread": True}},
        "text: spread: true of a text needs windows, the number of them",
    ),
    "an unknown key": (
        {"data_files": ["a.txt"], "text": {"stride": 512}},
        f"text.stride: unknown key 'stride': accepted here are {', '.join(sorted(TextConfig.model_fields))}",
    ),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_that_makes_no_sense_is_one_clear_error(name, folder):
    changes, message = ENTRIES[name]
    with pytest.raises(UserError) as caught:
        resolve(folder, PROSE, **changes)
    assert str(caught.value) == f"tasks.yaml: {message}"


FILES = {
    "missing": (
        {"data_files": ["c.txt"], "text": {}},
        "no file c.txt (yaml_file and data_files of the task in tasks.yaml)",
    ),
    "empty": ({"data_files": ["a.txt", "empty.txt"], "text": {}}, "empty.txt is empty"),
    "no text": (
        {"data_files": ["a.csv"], "text": {}},
        (
            "a.csv is none of .txt, .jsonl, .json, .jsonl.gz, .json.gz, .parquet, .jsonl.xz "
            "(data_files of the task in tasks.yaml)"
        ),
    ),
    "no columns": (
        {"data_files": ["a.txt"]},
        "a.txt is none of .jsonl, .json, .jsonl.gz, .json.gz, .parquet (data_files of the task in tasks.yaml)",
    ),
    "two kinds": (
        {"data_files": ["a.jsonl", "a.parquet"]},
        "data_files are JSON lines or Parquet, not both (in tasks.yaml)",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_data_is_named(name, folder):
    changes, message = FILES[name]
    with pytest.raises(UserError) as caught:
        resolve(folder, PROSE, **changes)
    assert str(caught.value).replace(f"{folder.resolve()}/", "") == f"task 'prose': {message}"
