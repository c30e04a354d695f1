"""Parity with lm-eval's runner where it is easy to go wrong: empty, blank-ended, overlong texts, pages in windows."""

import json

import numpy as np
import pytest

from kbit.evaluation.requests import make_requests
from kbit.evaluation.scorer import max_length, score
from kbit.models.resident import Resident

SENTENCE = "and it came to pass in those days that there went out a decree from the house of the king, "
PAIRS = [
    ("", "In the beginning"),  # empty context: the prefix token
    ("", "<|endoftext|>In the beginning"),  # ... which the continuation may bring along
    ("<|endoftext|>He said", " unto them"),  # a text that starts with the prefix token gets no second one
    ("He said  ", "unto them"),  # blanks at the end of a context belong to the continuation
    ("He said\n", "unto them, Behold"),
    ("He sa", "id unto"),  # a boundary inside a word
    (SENTENCE * 12, " and he went out"),  # a context longer than the window: its left end is lost
    (SENTENCE * 5, SENTENCE * 4),  # context and continuation together longer than the window
    ("The", " end"),
    ("The", " end"),  # equal requests are scored alike
    ("Señor — 東京", " naïve…"),  # bytes beyond ASCII
]
PAGES = [SENTENCE, SENTENCE * 9, SENTENCE * 25, "<|endoftext|>" + SENTENCE, "One.", "x" * 256, ""]
YAML = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: {output_type}
doc_to_text: {context}
doc_to_target: target
metric_list:
- {{metric: {metric}}}
metadata: {{version: 1.0}}
"""
TASKS = {
    "edge_pairs": ("loglikelihood", "query", "acc", [{"query": query, "target": target} for query, target in PAIRS]),
    "edge_pages": ("loglikelihood_rolling", "''", "bits_per_byte", [{"target": page} for page in PAGES]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edges")
    for name, (output_type, context, metric, docs) in TASKS.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
        yaml = YAML.format(name=name, data=data, output_type=output_type, context=context, metric=metric)
        (folder / f"{name}.yaml").write_text(yaml)
    return folder


def edge_requests(name, folder, spec_of, tokenizer):
    kind = "perplexity" if name == "edge_pages" else "zero-shot"
    locator = {
        "name": name,
        "kind": kind,
        "metric": "nats_per_token" if kind == "perplexity" else "acc",
        "version": "1.0",
        "dataset": None,
        "dataset_name": None,
        "revision": None,
        "yaml_file": str(folder / f"{name}.yaml"),
        "data_files": [str(folder / f"{name}.jsonl")],
        "item_limit": None,
    }
    return make_requests(spec_of(locator, "neox-32x2"), tokenizer)


@pytest.fixture(scope="module")
def bos_tokenizer(embedded_tokenizer):
    """The embedded tokenizer made to start every text with its BOS token, as those of OPT and Llama do."""
    from copy import deepcopy

    from tokenizers.processors import TemplateProcessing

    tokenizer = deepcopy(embedded_tokenizer)
    bos = (tokenizer.bos_token, tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos])
    assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    return tokenizer


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize("name", ["neox-32x2", "opt-32x2"])
def test_edge_cases_score_as_in_lm_eval(
    name, adds_bos, task, folder, embedded_model, embedded_tokenizer, bos_tokenizer, spec_of
):
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model, tokenizer = embedded_model(name), bos_tokenizer if adds_bos else embedded_tokenizer
    requests = edge_requests(task, folder, spec_of, tokenizer)
    oracle = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, logits_cache=False)
    assert oracle.max_length == max_length(model.config, requests) == 256
    theirs = TaskManager(include_path=folder, include_defaults=False).load(task)["tasks"][task]
    theirs.build_all_requests()
    responses = getattr(oracle, theirs.OUTPUT_TYPE)(theirs.instances, disable_tqdm=True)
    ours = score(Resident(model), requests, token_budget=1024)
    expected = responses if task == "edge_pages" else [value for value, _ in responses]
    # 1e-3 nats a request, or 1e-6 of it: the longest page sums a thousand float32 log-probabilities, -5000 nats in all.
    np.testing.assert_allclose(ours.loglikelihoods, expected, rtol=1e-6, atol=1e-3)
    if task == "edge_pairs":
        assert ours.greedy.tolist() == [greedy for _, greedy in responses]
