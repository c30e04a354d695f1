"""Build the proxy tasks: one JSON-lines file and one lm-eval YAML each."""

import json
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from types import ModuleType

import yaml

from kbit.evaluation.proxies import hellaswag, lambada, perplexity, piqa, winogrande
from kbit.evaluation.proxies.sentences import Sentence, digest, genre_of, is_plain, share_out, split_sentences
from kbit.evaluation.proxies.vocabulary import Vocabulary, count_vocabularies
from kbit.models.corpus import CORPUS, read_runs

PROXIES: dict[str, ModuleType] = {
    module.NAME: module for module in (lambada, winogrande, piqa, hellaswag, perplexity)
}
SENTENCE_PROXIES = (winogrande, piqa, hellaswag)
ITEMS = 300
PAGES = 60

Item = dict
Ranked = tuple[str, int, Item]  # genre, digest, item


def build_tasks(output: Path, corpus: Path = CORPUS) -> None:
    """Write `<task>.jsonl` and `<task>.yaml` of every proxy into `output` (made if absent).

    Items come from the test split; of the train split only word frequencies are used, and its sentences, to leave
    out what a model may have seen. The first n items of a file are a fair sample of it: genres take turns, and
    within a genre the order is that of a digest.
    """
    held_out = read_runs("test", corpus)
    train = read_runs("train", corpus)
    seen = {sentence.text for run in train for sentence in split_sentences(run)}
    fresh = [s for run in held_out for s in split_sentences(run) if is_plain(s) and s.text not in seen]
    items = {
        lambada.NAME: [item for _, item in first_items(lambada_items(held_out, seen), ITEMS)],
        perplexity.NAME: [item for _, item in first_items(page_items(held_out), PAGES)],
    }
    vocabularies = count_vocabularies(train)
    for proxy in SENTENCE_PROXIES:
        ranked = sentence_items(proxy, fresh, vocabularies)
        items[proxy.NAME] = [proxy.place_answer(item, at % proxy.CHOICES) for at, item in first_items(ranked, ITEMS)]
    output.mkdir(parents=True, exist_ok=True)
    for name, proxy in PROXIES.items():
        write_task(output, name, proxy.TASK, items[name])
