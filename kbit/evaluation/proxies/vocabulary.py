"""Which words a genre uses, and how often: the source of wrong words as frequent as the right ones."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from kbit.evaluation.proxies.sentences import WORD, genre_of

# Below this a model this small has hardly seen the word; the commonest words are grammar, not content.
LEAST_COUNT = 20
FUNCTION_WORDS = 150
LEAST_LETTERS = 4
# Wrong words are drawn from this many neighbours on either side in the order of frequency.
BAND_RANKS = 20


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The content words of one genre, in the order of their frequency in its train text."""

    words: tuple[str, ...]
    rank: dict[str, int]

    def band(self, word: str) -> list[str]:
        """The content words about as frequent as `word`, commonest first; `word` itself is not among them."""
        at = self.rank[word]
        return [near for near in self.words[max(0, at - BAND_RANKS) : at + BAND_RANKS + 1] if near != word]


def count_vocabularies(runs: Iterable[dict]) -> dict[str, Vocabulary]:
    """One vocabulary a genre. Only frequencies are taken from these (train) runs, never text."""
    counts: dict[str, Counter[str]] = {}
    for run in runs:
        counts.setdefault(genre_of(run["work"]), Counter()).update(WORD.findall(run["text"]))
    return {genre: content_words(counter) for genre, counter in counts.items()}


def frequent_words(runs: Iterable[dict], least_count: int) -> frozenset[str]:
    """Words, as spelled, seen at least so often in all genres together."""
    counts = Counter(word for run in runs for word in WORD.findall(run["text"]))
    return frozenset(word for word, count in counts.items() if count >= least_count)


def content_words(counts: Counter[str]) -> Vocabulary:
    """Lower-case words of at least 4 letters, seen 20 times, and not among the 150 commonest."""
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    words = tuple(
        word
        for word in ordered[FUNCTION_WORDS:]
        if word.isalpha() and word.islower() and len(word) >= LEAST_LETTERS and counts[word] >= LEAST_COUNT
    )
    return Vocabulary(words, {word: rank for rank, word in enumerate(words)})
