"""ho_lambada: the last word of a sentence, which the text before it has already used."""

import re
from collections.abc import Iterator

from kbit.evaluation.proxies.sentences import WORD, Sentence, is_plain, split_sentences

NAME = "ho_lambada"
CONTEXT_WORDS = (30, 50)
LEAST_LETTERS = 4

TASK = {
    "output_type": "loglikelihood",
    "doc_to_text": "query",
    "doc_to_target": "target",
    "metric_list": [
        {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
        {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
    ],
}


def make_items(run: dict) -> Iterator[tuple[Sentence, dict]]:
    """Sentences of a run with columns `query` (30 to 50 words of context) and `target` (a space and the word)."""
    sentences = list(split_sentences(run))
    for index, sentence in enumerate(sentences):
        words = sentence.words
        if not is_plain(sentence) or len(words) < 2:
            continue
        target = words[-1]
        end = sentence.start + target.start()
        query = shortest_context(run["text"], [earlier.start for earlier in sentences[: index + 1]], end)
        if query is not None and is_answerable(target.group(), sentence.text[target.start() - 1], query):
            yield sentence, {"query": query, "target": " " + target.group()}


def shortest_context(text: str, starts: list[int], end: int) -> str | None:
    """The fewest whole sentences before `end` that make 30 words, or None where that makes more than 50."""
    fewest, most = CONTEXT_WORDS
    for start in reversed(starts):
        context = text[start:end].rstrip()
        n_words = len(WORD.findall(context))
        if n_words >= fewest:
            return context if n_words <= most else None
    return None


def is_answerable(target: str, before: str, query: str) -> bool:
    """LAMBADA's condition: a word of at least 4 letters, after a space, that the context has used."""
    return before == " " and len(target) >= LEAST_LETTERS and re.search(rf"\b{re.escape(target)}\b", query) is not None
