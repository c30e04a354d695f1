"""A requests file: what it holds, how it is damaged, and what a user is told when it cannot be built."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kbit.evaluation.requests import build_requests, read_requests
from kbit.evaluation.requests_file import HEADER
from kbit.spec.errors import UserError

YAML = {
    "task": "pair",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "pair.jsonl"}},
    "test_split": "test",
    "output_type": "loglikelihood",
    "doc_to_text": "query",
    "doc_to_target": "target",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {"version": 1.0},
}
DOCS = [{"query": "He said", "target": " unto them"}, {"query": "And it came to", "target": " pass"}]


@pytest.fixture
def write_task(tmp_path):
    """Writes pair.yaml and pair.jsonl, changed as told; gives the task's locator."""

    def write(docs: list[dict] = DOCS, locator: dict | None = None, **changes: object) -> dict:
        definition = {key: value for key, value in (YAML | changes).items() if value is not None}
        (tmp_path / "pair.yaml").write_text(json.dumps(definition))
        (tmp_path / "pair.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
        return {
            "name": "pair",
            "kind": "zero-shot",
            "metric": "acc",
            "version": "1.0",
            "dataset": None,
            "dataset_name": None,
            "revision": None,
            "yaml_file": str(tmp_path / "pair.yaml"),
            "data_files": [str(tmp_path / "pair.jsonl")],
            "item_limit": None,
            **(locator or {}),
        }

    return write


@pytest.fixture
def build(tmp_path, spec_of):
    """Builds the requests of a locator and reads them back."""

    def build_and_read(locator: dict):
        path = tmp_path / "requests" / "pair.parquet"
        build_requests(spec_of(locator, "neox-32x2"), path)
        return read_requests(path)

    return build_and_read


def test_a_file_holds_tokens_documents_and_what_they_are(write_task, build, embedded_tokenizer):
    requests = build(write_task())
    assert [embedded_tokenizer.decode(tokens) for tokens in requests.contexts] == ["He said", "And it came to"]
    assert [embedded_tokenizer.decode(tokens) for tokens in requests.continuations] == [" unto them", " pass"]
    assert requests.docs == DOCS
    assert requests.doc.tolist() == [0, 1]
    assert requests.header["task"] == "pair"
    assert requests.header["output_type"] == "loglikelihood"
    assert requests.header["task_identity"] == "identity of pair"
    assert requests.header["tokenizer_max_length"] is None  # nobody stated one


def test_an_item_limit_takes_the_first_items_as_lm_eval_does(requests_of):
    whole, limited = requests_of("ho_hellaswag", 12), requests_of("ho_hellaswag", 5)
    assert limited.docs == whole.docs[:5]
    assert limited.doc.tolist() == np.repeat(range(5), 4).tolist()
    assert all((a == b).all() for a, b in zip(limited.contexts, whole.contexts[:20], strict=True))


def test_the_same_task_makes_the_same_bytes(write_task, spec_of, tmp_path):
    spec = spec_of(write_task(), "neox-32x2")
    for name in ("first", "second"):
        build_requests(spec, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_nothing_is_left_behind(write_task, build, tmp_path):
    build(write_task())
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["pair.jsonl", "pair.parquet", "pair.yaml", "requests"]


def test_a_truncated_file_is_named_with_the_command_that_drops_it(tmp_path):
    path = tmp_path / "pair.parquet"
    with pytest.raises(UserError, match=f"no requests file {path}"):
        read_requests(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=f"{path} is damaged or not Parquet .*: rm {path}"):
        read_requests(path)


def test_a_flipped_bit_is_named_and_never_scored(write_task, build, tmp_path):
    build(write_task([{"query": f"He said {number}", "target": " unto them"} for number in range(50)]))
    path = tmp_path / "requests" / "pair.parquet"
    column = pq.ParquetFile(path).metadata.row_group(0).column(2)
    content = bytearray(path.read_bytes())
    content[column.dictionary_page_offset + column.total_compressed_size - 1] ^= 1  # the end of its last page
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path} is damaged or not Parquet .*CRC.*: rm {path}"):
        read_requests(path)


def test_a_foreign_file_and_another_version_are_refused(write_task, build, tmp_path):
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"doc": [0]}), path)
    with pytest.raises(UserError, match=f"{path} is not a requests file of this software: rm {path}"):
        read_requests(path)
    build(write_task())
    table = pq.read_table(tmp_path / "requests" / "pair.parquet")
    header = json.loads(table.schema.metadata[HEADER]) | {"requests_version": 999}
    pq.write_table(table.replace_schema_metadata({HEADER: json.dumps(header)}), path)
    with pytest.raises(UserError, match=f"{path} has version 999 of requests, this software 1: rm {path}"):
        read_requests(path)


BROKEN = {
    "another name": ({"task": "other"}, {}, r"pair.yaml defines no task 'pair'"),
    "no data named": ({"dataset_kwargs": None}, {}, "pair.yaml names no dataset_kwargs.data_files"),
    "data not listed": (
        {"dataset_kwargs": {"data_files": {"test": "else.jsonl"}}},
        {},
        r"names the data file 'else.jsonl', which is not among its data_files in tasks.yaml \(pair.jsonl\)",
    ),
    "no such split": ({"test_split": "exam"}, {}, "task 'pair' cannot be loaded from .*pair.jsonl: .*exam"),
    "unknown metric": ({"metric_list": [{"metric": "nope"}]}, {}, "task 'pair' cannot be loaded from .*pair.yaml"),
    "version": ({}, {"version": "2.0"}, "task 'pair' has version 1.0 in its definition and 2.0 in tasks.yaml"),
    "headline metric": ({}, {"metric": "acc_norm"}, "task 'pair' has no metric 'acc_norm': it has acc "),
    "kind": ({}, {"kind": "perplexity"}, "output_type 'loglikelihood' is not that of a perplexity task"),
    "generation": ({"output_type": "generate_until"}, {}, "'generate_until' is not that of a zero-shot task"),
    "filters": (
        {"filter_list": [{"name": "x", "filter": [{"function": "take_first"}]}]},
        {},
        "task 'pair' sets filter_list, which is not supported",
    ),
    "template": ({"doc_to_target": "{{ target.nope.nope }}"}, {}, "task 'pair' cannot be loaded from .*nope"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "locator", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_definition_is_one_clear_error(write_task, build, tmp_path, changes, locator, message):
    with pytest.raises(UserError, match=message) as error:
        build(write_task(locator=locator, **changes))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "requests").exists()


def test_broken_data_is_one_clear_error(write_task, build, tmp_path):
    locator = write_task()
    (tmp_path / "pair.jsonl").write_text('{"query": "He said", "tar')
    with pytest.raises(UserError, match=r"task 'pair' cannot be loaded from .*pair.yaml, .*pair.jsonl: .*") as error:
        build(locator)
    assert "\n" not in str(error.value)


def test_a_later_item_that_cannot_be_rendered_is_one_clear_error(write_task, build):
    template = "{{ query.split('|')[1] + ' ' }}"
    locator = write_task(docs=[{"query": "a|b", "target": " c"}, {"query": "ab", "target": " c"}], doc_to_text=template)
    with pytest.raises(UserError, match="task 'pair': its requests cannot be built: UndefinedError"):
        build(locator)


@pytest.mark.parametrize(
    ("doc", "part"),
    [({"query": "He said", "target": ""}, "continuation"), ({"query": " ", "target": "He"}, "context")],
)
def test_an_item_with_nothing_to_score_is_named(write_task, build, doc, part):
    with pytest.raises(UserError, match=f"task 'pair': request 0 of item 2 has a {part} of no tokens"):
        build(write_task(docs=[*DOCS, doc]))


def test_a_missing_tokenizer_is_named(write_task, spec_of, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt_neox"}))
    spec = spec_of(write_task(), "neox-32x2")
    spec["model"] = {**spec["model"], "name": "bare", "path": str(folder)}
    with pytest.raises(UserError, match=r"model 'bare': .*bare holds no tokenizer"):
        build_requests(spec, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_an_unknown_task_of_lm_eval_is_named(write_task, build):
    locator = write_task(locator={"name": "no_such_task", "yaml_file": None, "data_files": [], "dataset": "a/b"})
    with pytest.raises(UserError, match="lm-eval defines no task 'no_such_task'"):
        build(locator)


def test_a_data_set_of_the_hub_that_is_not_at_hand_is_named(write_task, build):
    hub = {"dataset": "baber/piqa", "revision": "0123456789" * 4}
    locator = write_task(locator={"name": "piqa", "yaml_file": None, "data_files": [], **hub})
    with pytest.raises(
        UserError, match=r"task 'piqa': the data set baber/piqa at 0123456789.* is not in the hub cache"
    ) as error:
        build(locator)
    assert "\n" not in str(error.value)
