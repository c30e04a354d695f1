"""ho_hellaswag: the true second half of a sentence against three in which two words have changed places."""

from kbit.evaluation.proxies.sentences import WORD, Sentence, digest
from kbit.evaluation.proxies.vocabulary import Vocabulary

NAME = "ho_hellaswag"
CHOICES = 4
SENTENCE_WORDS = (11, 17)
DISTANCE = 2
# `bread and wine` may as well be `wine and bread`.
CONJUNCTIONS = frozenset({"and", "or", "nor", "but"})

TASK = {
    "output_type": "multiple_choice",
    "doc_to_text": "query",
    "doc_to_target": "label",
    "doc_to_choice": "choices",
    "metric_list": [
        {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True},
    ],
}


def make_item(sentence: Sentence, _: Vocabulary) -> dict | None:
    """Columns `query` (the first half) and `choices` (the second half, the right one first)."""
    words = sentence.words
    middle = words[len(words) // 2].start()
    ending = sentence.text[middle:]
    wrong = sorted(set(exchanged_endings(ending)), key=lambda text: digest(NAME, sentence.run, sentence.text, text))
    if len(wrong) < CHOICES - 1 or sentence.text[middle - 1] != " ":
        return None
    return {"query": sentence.text[:middle].rstrip(), "choices": [ending, *wrong[: CHOICES - 1]]}


def exchanged_endings(ending: str) -> list[str]:
    """Every ending in which a word and the next but one have changed places; punctuation stays where it is."""
    words = list(WORD.finditer(ending))
    endings = []
    for first, between, second in zip(words, words[1:], words[DISTANCE:], strict=False):
        if first.group().lower() != second.group().lower() and between.group().lower() not in CONJUNCTIONS:
            unchanged = ending[first.end() : second.start()]
            endings.append(
                ending[: first.start()] + second.group() + unchanged + first.group() + ending[second.end() :]
            )
    return endings


def place_answer(item: dict, label: int) -> dict:
    """The item with its right answer at position `label`."""
    right, *wrong = item["choices"]
    return item | {"choices": [*wrong[:label], right, *wrong[label:]], "label": label}
