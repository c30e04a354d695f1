"""ho_winogrande: two contexts that differ in one word, and one common rest; only the rest is scored."""

from kbit.evaluation.proxies.exchange import exchange_word
from kbit.evaluation.proxies.sentences import Sentence
from kbit.evaluation.proxies.vocabulary import Vocabulary

NAME = "ho_winogrande"
CHOICES = 2
SENTENCE_WORDS = (11, 24)
WORDS_BEFORE = 4
WORDS_AFTER = 4

TASK = {
    "output_type": "multiple_choice",
    # The column of the index, the contexts and their common rest: lm-eval's form for WinoGrande.
    "doc_to_text": "label",
    "doc_to_choice": "contexts",
    "doc_to_target": "rest",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


def make_item(sentence: Sentence, vocabulary: Vocabulary) -> dict | None:
    """Columns `contexts` (the right one first; `place_answer` moves it) and `rest`."""
    exchange = exchange_word(NAME, sentence, vocabulary, WORDS_BEFORE, WORDS_AFTER)
    # lm-eval joins context and rest by a space, so a comma after the word would end up behind it.
    if exchange is None or not exchange.after.startswith(" "):
        return None
    return {
        "contexts": [exchange.before + exchange.right, exchange.before + exchange.wrong],
        "rest": exchange.after.lstrip(),
    }


def place_answer(item: dict, label: int) -> dict:
    """The item with its right answer at position `label`."""
    right, wrong = item["contexts"]
    return item | {"contexts": [wrong, right] if label else [right, wrong], "label": label}
