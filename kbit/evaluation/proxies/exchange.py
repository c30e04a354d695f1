"""A content word in the middle of a sentence, and a wrong word as frequent: shared by ho_winogrande and ho_piqa."""

import re
from dataclasses import dataclass

from kbit.evaluation.proxies.sentences import Sentence, digest
from kbit.evaluation.proxies.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Exchange:
    """`before` + right or wrong + `after`; `before` ends and `after` begins at the word's edges."""

    before: str
    right: str
    wrong: str
    after: str


def exchange_word(
    task: str, sentence: Sentence, vocabulary: Vocabulary, words_before: int, words_after: int
) -> Exchange | None:
    """Choose a content word with so many words on either side, and a wrong one; None where there is none."""
    words = sentence.words
    middle = words[words_before : len(words) - words_after]
    candidates = [word for word in middle if word.group() in vocabulary.rank and stands_alone(sentence.text, word)]
    if not candidates:
        return None
    word = candidates[digest(task, sentence.run, sentence.text, "word") % len(candidates)]
    present = {other.group().lower() for other in words}
    wrong = [other for other in vocabulary.band(word.group()) if other not in present]
    return Exchange(
        before=sentence.text[: word.start()],
        right=word.group(),
        wrong=wrong[digest(task, sentence.run, sentence.text, "wrong") % len(wrong)],
        after=sentence.text[word.end() :],
    )


def stands_alone(text: str, word: re.Match[str]) -> bool:
    """True when a space precedes the word and a space or punctuation follows: no piece of a compound or elision."""
    return text[word.start() - 1] == " " and text[word.end()] not in "'-"
