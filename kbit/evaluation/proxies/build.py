"""Build the proxy tasks: one JSON-lines file and one lm-eval YAML each."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import yaml

from kbit.evaluation.proxies import hellaswag, lambada, perplexity, piqa, winogrande
from kbit.evaluation.proxies.sentences import Sentence, digest, genre_of, is_plain, share_out, split_sentences
from kbit.evaluation.proxies.vocabulary import Vocabulary, count_vocabularies, frequent_words
from kbit.models.corpus import CORPUS, read_runs
from kbit.spec.errors import UserError

PROXIES: dict[str, ModuleType] = {module.NAME: module for module in (lambada, winogrande, piqa, hellaswag, perplexity)}
SENTENCE_PROXIES = (winogrande, piqa, hellaswag)
ITEMS = 300
PAGES = 240

HEADER = """\
# A proxy made from held-out text, not the benchmark whose format it has: README.md.
# The data file stands beside this one. lm-eval looks for it in the working directory: run it from this folder.
"""

Item = dict[str, object]
Ranked = tuple[int, Item]
"""digest, item; every item names its `work` and `run`"""


def build_tasks(output: Path, corpus: Path = CORPUS) -> None:
    """Write `<task>.jsonl` and `<task>.yaml` of every proxy into `output` (made if absent).

    Items come from the test split; of the train split only word frequencies are used, and its sentences, to leave
    out what a model may have seen. The first n items of a file are a fair sample of it: genres take turns, and
    within a genre the order is that of a digest.
    """
    held_out, train = read_split("test", corpus), read_split("train", corpus)
    seen = {sentence.text for run in train for sentence in split_sentences(run)}
    frequent = frequent_words(train, lambada.LEAST_COUNT)
    # By text: what the held-out runs say twice is used once.
    fresh = {s.text: s for run in held_out for s in split_sentences(run) if is_plain(s) and s.text not in seen}
    items = {
        lambada.NAME: first_items(lambada_items(held_out, seen, frequent), ITEMS),
        perplexity.NAME: first_items(page_items(held_out), PAGES),
    }
    vocabularies = count_vocabularies(train)
    for proxy in SENTENCE_PROXIES:
        chosen = first_items(sentence_items(proxy, fresh.values(), vocabularies), ITEMS)
        # The right answer takes each position in turn, so that a model that ties everywhere scores chance.
        items[proxy.NAME] = [proxy.place_answer(item, at % proxy.CHOICES) for at, item in enumerate(chosen)]
    output.mkdir(parents=True, exist_ok=True)
    for name, proxy in PROXIES.items():
        write_task(output, name, proxy.TASK, items[name])


def read_split(split: str, corpus: Path) -> list[dict]:
    if not (corpus / f"{split}.jsonl.xz").is_file():
        raise UserError(f"corpus {str(corpus)!r} holds no {split}.jsonl.xz (the committed corpus is {CORPUS})")
    return read_runs(split, corpus)


def lambada_items(runs: list[dict], seen: set[str], frequent: frozenset[str]) -> Iterator[Ranked]:
    for run in runs:
        for sentence, item in lambada.make_items(run, frequent):
            if sentence.text not in seen:
                yield ranked(lambada.NAME, run["work"], run["run"], sentence.text, item)


def page_items(runs: list[dict]) -> Iterator[Ranked]:
    for run in runs:
        for page in perplexity.cut_pages(run["text"]):
            yield ranked(perplexity.NAME, run["work"], run["run"], page, {"page": page})


def sentence_items(
    proxy: ModuleType, sentences: Iterable[Sentence], vocabularies: dict[str, Vocabulary]
) -> Iterator[Ranked]:
    """The items of one proxy: of the sentences that are its share, those of the right length that allow one."""
    names = [other.NAME for other in SENTENCE_PROXIES]
    fewest, most = proxy.SENTENCE_WORDS
    for sentence in sentences:
        if share_out(names, sentence) == proxy.NAME and fewest <= len(sentence.words) <= most:
            item = proxy.make_item(sentence, vocabularies[sentence.genre])
            if item is not None:
                yield ranked(proxy.NAME, sentence.work, sentence.run, sentence.text, item)


def ranked(task: str, work: str, run: int, text: str, item: Item) -> Ranked:
    return digest(task, run, text), {"work": work, "run": run, **item}


def first_items(candidates: Iterator[Ranked], wanted: int) -> list[Item]:
    """At most `wanted` items, those with the lowest digests of each genre, genres mixed evenly."""
    by_genre: dict[str, list[Ranked]] = {}
    for rank, item in candidates:
        by_genre.setdefault(genre_of(item["work"]), []).append((rank, item))
    placed = []
    for genre, quota in share_places({genre: len(items) for genre, items in by_genre.items()}, wanted).items():
        chosen = sorted(by_genre[genre], key=lambda candidate: candidate[0])[:quota]
        # Place i of n at (i + 1/2) / n of the way: every prefix holds each genre in its share of the whole.
        placed += [((at + 0.5) / quota, genre, item) for at, (_, item) in enumerate(chosen)]
    return [item for _, _, item in sorted(placed, key=lambda place: place[:2])]


def share_places(available: dict[str, int], wanted: int) -> dict[str, int]:
    """Split `wanted` places evenly among genres; what a poor genre cannot fill goes to the others."""
    quotas: dict[str, int] = {}
    for genre in sorted(available, key=lambda name: (available[name], name)):
        even_share = (wanted - sum(quotas.values())) // (len(available) - len(quotas))
        quotas[genre] = min(available[genre], even_share)
    return quotas


def write_task(output: Path, name: str, task: dict, items: list[Item]) -> None:
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    (output / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    definition = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        **task,
        "metadata": {"version": 1.0},
    }
    text = yaml.safe_dump(definition, sort_keys=False, width=120)
    (output / f"{name}.yaml").write_text(HEADER + text, encoding="utf-8")
