"""ho_lambada: the last word of a sentence, which the text before it has already used."""

import re
from collections.abc import Iterator

from kbit.evaluation.proxies.sentences import WORD, Sentence, split_sentences

NAME = "ho_lambada"
CONTEXT_WORDS = (30, 60)
LEAST_LETTERS = 4
# Rarer words carry no signal here: a model of width 32 got none of 132 right that were seen under 100 times,
# and their perplexity, of many tokens each, would drown the others'.
LEAST_COUNT = 200
# Stage directions, notes and numbers; quotation marks may stay open, as they do in any excerpt.
UNWANTED = re.compile(r"[\[\](){}_\d]")

TASK = {
    "output_type": "loglikelihood",
    "doc_to_text": "query",
    "doc_to_target": "target",
    "metric_list": [
        {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
        {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
    ],
}


def make_items(run: dict, frequent: frozenset[str]) -> Iterator[tuple[Sentence, dict]]:
    """Sentences of a run with columns `query` (30 to 60 words of context) and `target` (a space and the word).

    `frequent` holds the words a target may be: those seen at least LEAST_COUNT times in the train text.
    """
    sentences = list(split_sentences(run))
    for index, sentence in enumerate(sentences):
        words = sentence.words
        if len(words) < 2 or words[-1].group() not in frequent or UNWANTED.search(sentence.text):
            continue
        target = words[-1]
        end = sentence.start + target.start()
        query = shortest_context(run["text"], [earlier.start for earlier in sentences[: index + 1]], end)
        if query is not None and is_answerable(target.group(), sentence.text[target.start() - 1], query):
            yield sentence, {"query": query, "target": " " + target.group()}


def shortest_context(text: str, starts: list[int], end: int) -> str | None:
    """The fewest whole sentences before `end` that make 30 words, or None where that makes more than 60."""
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
