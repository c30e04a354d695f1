"""Perplexity of a text: the number of GPTQ's evaluation, whatever files the text comes in, and what goes wrong."""

import gzip
import json
import lzma
import math
from copy import deepcopy
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import ByT5Tokenizer

from kbit.evaluation.evaluate import evaluate_task
from kbit.evaluation.requests import make_requests
from kbit.evaluation.requests_file import read_requests_file, write_requests
from kbit.models.resident import Resident
from kbit.spec.errors import UserError
from kbit.spec.tasks import TaskEntry, resolve_task

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "tests/evaluation/datasets/wikitext/test.jsonl"
DOCUMENTS = [json.loads(line)["page"] for line in PAGES.read_text(encoding="utf-8").splitlines()]
MODEL = "neox-32x2"


def text_entry(*data_files: Path, **text: object) -> TaskEntry:
    return TaskEntry(
        name="prose",
        kind="perplexity",
        metric="nats_per_token",
        version="1",
        data_files=tuple(map(str, data_files)),
        text=text,
    )


@pytest.fixture
def requests_of_text(spec_of, embedded_tokenizer, tmp_path):
    """Requests of a text task over local files, through a requests file."""

    def build(*data_files: Path, tokenizer=embedded_tokenizer, item_limit: int | None = None, **text: object):
        locator = resolve_task(text_entry(*data_files, **text), item_limit, tmp_path / "tasks.yaml").locator()
        path = tmp_path / "requests" / "prose.parquet"
        write_requests(make_requests(spec_of(locator, MODEL), tokenizer), path)
        return read_requests_file(path)

    return build


def metrics_of(model, requests) -> dict[str, float]:
    return {metric.name: metric.value for metric in evaluate_task(Resident(model), requests, 1024).metrics}


@torch.inference_mode()
def perplexity_of_gptq(model, tokenizer, text: str, window: int) -> float:
    """What GPTQ's opt_eval computes: the mean loss of a window, times its length, summed, over all windows' length."""
    tokens = tokenizer(text, return_tensors="pt", verbose=False)["input_ids"]
    losses = []
    for start in range(0, tokens.numel() // window * window, window):
        batch = tokens[:, start : start + window]
        logits = model(batch).logits[0, :-1].float()
        losses.append(torch.nn.functional.cross_entropy(logits, batch[0, 1:]) * window)
    return math.exp(sum(losses) / (len(losses) * window))


@pytest.fixture(scope="module")
def bos_tokenizer(embedded_tokenizer):
    """The embedded tokenizer made to add a BOS and an EOS token, the first as those of OPT and Llama do."""
    tokenizer = deepcopy(embedded_tokenizer)
    bos, eos = (tokenizer.bos_token, tokenizer.bos_token_id), (tokenizer.eos_token, tokenizer.eos_token_id)
    template = TemplateProcessing(single=f"{bos[0]} $A {eos[0]}", special_tokens=[bos, eos])
    tokenizer.backend_tokenizer.post_processor = template
    return tokenizer


@pytest.mark.parametrize("adds_special_tokens", [False, True])
@pytest.mark.parametrize(("name", "window"), [("neox-32x2", 256), ("opt-32x2", 100)])
def test_windows_give_the_number_of_gptq(
    name, window, adds_special_tokens, requests_of_text, embedded_model, embedded_tokenizer, bos_tokenizer
):
    tokenizer = bos_tokenizer if adds_special_tokens else embedded_tokenizer
    model = embedded_model(name)
    requests = requests_of_text(PAGES, tokenizer=tokenizer, column="page", window=window)
    expected = perplexity_of_gptq(model, tokenizer, "\n\n".join(DOCUMENTS), window)
    metrics = metrics_of(model, requests)
    # 1e-4 nats a token: float32 sums over another batch shape.
    assert metrics["nats_per_token"] == pytest.approx(math.log(expected), abs=1e-4)
    assert metrics["perplexity"] == pytest.approx(expected, rel=1e-4)
    assert (requests.contexts[0][0] == tokenizer.bos_token_id) == adds_special_tokens


def test_each_window_is_scored_after_its_first_token_and_the_tail_is_dropped(requests_of_text, embedded_tokenizer):
    requests = requests_of_text(PAGES, column="page", window=128)
    tokens = embedded_tokenizer("\n\n".join(DOCUMENTS), verbose=False)["input_ids"]
    assert len(requests) == len(tokens) // 128 > 1
    assert len(tokens) % 128
    assert {len(context) for context in requests.contexts} == {1}
    windows = np.hstack([np.stack(requests.contexts), np.stack(requests.continuations)])
    assert windows.ravel().tolist() == tokens[: windows.size]


def write_copies(folder: Path) -> dict[str, tuple[Path, ...]]:
    """The same documents in every kind of file; a .txt file each, in two halves in JSON lines and in Parquet."""
    texts = tuple(folder / f"{number}.txt" for number in range(len(DOCUMENTS)))
    for file, document in zip(texts, DOCUMENTS, strict=True):
        file.write_bytes(document.encode())
    lines = [json.dumps({"id": number, "text": document}) + "\n" for number, document in enumerate(DOCUMENTS)]
    (folder / "a.jsonl").write_text("".join(lines[:4]))
    (folder / "b.json.gz").write_bytes(gzip.compress("".join(lines[4:]).encode()))
    (folder / "c.jsonl.xz").write_bytes(lzma.compress("".join(lines).encode()))
    frame = pl.DataFrame({"text": DOCUMENTS})
    frame[:4].write_parquet(folder / "a.parquet")
    frame[4:].write_parquet(folder / "b.parquet")
    halves = {"lines": ("a.jsonl", "b.json.gz"), "parquet": ("a.parquet", "b.parquet")}
    return {
        "txt": texts,
        "xz": (folder / "c.jsonl.xz",),
        **{kind: tuple(folder / name for name in names) for kind, names in halves.items()},
    }


@pytest.mark.parametrize("window", [None, 128])
@pytest.mark.parametrize("kind", ["txt", "lines", "parquet", "xz"])
def test_a_text_may_stand_in_any_kind_of_file(kind, window, requests_of_text, tmp_path):
    cut = {"window": window} if window else {}
    requests = requests_of_text(*write_copies(tmp_path)[kind], **cut)
    expected = requests_of_text(PAGES, column="page", **cut)
    assert requests.docs == expected.docs
    pairs = zip(requests.continuations, expected.continuations, strict=True)
    assert all(ours.tolist() == theirs.tolist() for ours, theirs in pairs)


def test_spread_windows_begin_equal_strips_of_the_text(requests_of_text, embedded_tokenizer):
    text = "\n\n".join(DOCUMENTS)
    requests = requests_of_text(PAGES, column="page", window=20, windows=5, spread=True)
    strips = [text[i * len(text) // 5 : (i + 1) * len(text) // 5] for i in range(5)]
    expected = [embedded_tokenizer(strip, add_special_tokens=False)["input_ids"][:20] for strip in strips]
    windows = np.hstack([np.stack(requests.contexts), np.stack(requests.continuations)])
    assert windows.tolist() == expected
    # What is scored is all but the first token, spelled out.
    assert [doc["text"] for doc in requests.docs] == [embedded_tokenizer.decode(tokens[1:]) for tokens in expected]
    fewer = requests_of_text(PAGES, column="page", window=20, windows=5, spread=True, item_limit=2)
    assert fewer.docs == requests.docs[:2]


def test_a_strip_of_long_tokens_is_tokenized_whole(requests_of_text, embedded_tokenizer, tmp_path):
    """A run of blanks is few tokens in a vocabulary that has merged them."""
    tokenizer = deepcopy(embedded_tokenizer)
    tokenizer.add_tokens([" " * 64])
    (tmp_path / "a.txt").write_text((" " * 64 * 6 + "so it ends.") * 2)
    requests = requests_of_text(tmp_path / "a.txt", tokenizer=tokenizer, window=8, windows=2, spread=True)
    (blanks,) = tokenizer.convert_tokens_to_ids([" " * 64])
    assert [continuation.tolist()[:5] for continuation in requests.continuations] == [[blanks] * 5] * 2


def test_documents_and_windows_can_be_limited(requests_of_text, embedded_tokenizer):
    text = {"column": "page", "window": 64, "separator": " "}
    joined = embedded_tokenizer(" ".join(DOCUMENTS[:3]), verbose=False)["input_ids"]
    few = requests_of_text(PAGES, documents=3, **text)
    assert len(few) == len(joined) // 64 > 5
    assert len(requests_of_text(PAGES, documents=3, windows=5, **text)) == 5
    assert len(requests_of_text(PAGES, documents=3, windows=5, item_limit=2, **text)) == 2
    assert len(requests_of_text(PAGES, column="page", documents=3)) == 3


def test_without_windows_documents_are_scored_as_by_lm_eval(requests_of_text, requests_of, embedded_model):
    """The embedded perplexity task is lm-eval's own kind of task over the same documents."""
    data = ROOT / "data/tasks/ho_perplexity.jsonl"
    (column,) = (name for name in json.loads(data.read_text().splitlines()[0]) if name in ("page", "text"))
    ours, theirs = requests_of_text(data, column=column, item_limit=20), requests_of("ho_perplexity", 20)
    assert [tokens.tolist() for tokens in ours.continuations] == [tokens.tolist() for tokens in theirs.continuations]
    model = embedded_model(MODEL)
    expected = metrics_of(model, theirs)
    metrics = metrics_of(model, ours)
    assert expected.keys() <= metrics.keys()
    assert {name: metrics[name] for name in expected} == expected
    assert metrics["perplexity"] == math.exp(metrics["nats_per_token"])


@pytest.mark.parametrize("window", [2, 3, 7])
@pytest.mark.parametrize("text", [" Now  then,\n\n\tand so\non ...  \n" * 5, "Señor — 東京, naïve…\n\n 🙂  é" * 5])
def test_bytes_are_those_of_the_tokens_scored(text, window, requests_of_text, embedded_tokenizer, tmp_path):
    (tmp_path / "a.txt").write_bytes(text.encode())
    requests = requests_of_text(tmp_path / "a.txt", window=window)
    for doc, continuation in zip(requests.docs, requests.continuations, strict=True):
        # A token of a byte-level vocabulary is spelled with one letter for each byte.
        n_bytes = sum(len(token) for token in embedded_tokenizer.convert_ids_to_tokens(continuation.tolist()))
        # A character whose bytes a cut separates belongs to the window where it starts: up to 3 bytes at either end.
        assert abs(len(doc["text"].encode()) - n_bytes) <= (0 if text.isascii() else 3)


def test_metrics_of_windows_count_bytes_and_no_words(requests_of_text, embedded_model):
    requests = requests_of_text(PAGES, column="page", window=128)
    metrics = metrics_of(embedded_model(MODEL), requests)
    n_bytes = sum(len(doc["text"].encode()) for doc in requests.docs)
    nats = metrics["nats_per_token"] * 127 * len(requests)
    assert metrics["nats_per_byte"] == pytest.approx(nats / n_bytes, rel=1e-9)
    assert metrics["bits_per_byte"] == pytest.approx(nats / n_bytes / math.log(2), rel=1e-9)
    assert not [name for name in metrics if "word" in name]


def test_a_tokenizer_without_offsets_decodes_what_it_scores(requests_of_text, tmp_path):
    text = "Every é is two tokens, others 1."
    (tmp_path / "a.txt").write_bytes(text.encode())
    requests = requests_of_text(tmp_path / "a.txt", tokenizer=ByT5Tokenizer(), window=8)
    pieces = [text.encode()[start + 1 : start + 8].decode() for start in range(0, 32, 8)]
    assert [doc["text"] for doc in requests.docs] == pieces


MISTAKES = {
    "no such column": ({"column": "body"}, r"line 1 of .*a.jsonl has no column 'body', only text \(text.column"),
    "too short": ({"window": 500}, r"its text has 4 tokens, fewer than one window of 500 \(text.window"),
    "too short to spread over": (
        {"window": 4, "windows": 3, "spread": True},
        r"its text has no 3 windows of 4 tokens: 1/3 of it has \d \(text.windows",
    ),
    "a number": (
        {"column": "text", "lines": ['{"text": "a"}', '{"text": 5}']},
        r"'text' in line 2 of .* is 5, not text",
    ),
    "nothing": ({"lines": ['{"text": null}']}, r"'text' in line 1 of .*a.jsonl is None, not text"),
    "no object": ({"lines": ['["text"]']}, r"line 1 of .*a.jsonl is no JSON object with columns"),
    "blanks only": ({"lines": ['{"text": " "}']}, r"there is no text in .*a.jsonl"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_text_that_cannot_be_scored_is_one_clear_error(name, requests_of_text, tmp_path):
    text, message = MISTAKES[name]
    lines = text.get("lines", ['{"text": "One two."}'])
    (tmp_path / "a.jsonl").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(UserError, match=f"^task 'prose'.*{message}") as error:
        requests_of_text(tmp_path / "a.jsonl", **{key: value for key, value in text.items() if key != "lines"})
    assert "\n" not in str(error.value)


DAMAGED = {
    "a.txt": (b"caf\xe9", "a.txt is not text in UTF-8: UnicodeDecodeError"),
    "a.parquet": (b"PAR1 and no more", "a.parquet is not Parquet: ArrowInvalid"),
    "a.json": (b'{"text": "tru', "a.json is not JSON lines: JSONDecodeError"),
    "a.jsonl.gz": (b"no gzip", "a.jsonl.gz is not JSON lines: BadGzipFile"),
    "a.jsonl.xz": (b"no xz", "a.jsonl.xz is not JSON lines: LZMAError"),
    "b.jsonl.gz": (gzip.compress(b'{"text": "One"}')[:-9], "b.jsonl.gz is not JSON lines: EOFError"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_is_not_what_its_name_says_is_named(name, requests_of_text, tmp_path):
    content, message = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"^task 'prose': .*{message}") as error:
        requests_of_text(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_parquet_file_without_the_column_is_named(requests_of_text, tmp_path):
    pl.DataFrame({"id": [1], "body": ["One"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a.parquet has no column 'text', only id, body \(text.column"):
        requests_of_text(tmp_path / "a.parquet")
