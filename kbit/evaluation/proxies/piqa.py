"""ho_piqa: the rest of a sentence as written, or with its first word exchanged for one as frequent."""

from kbit.evaluation.proxies.exchange import exchange_word
from kbit.evaluation.proxies.sentences import Sentence
from kbit.evaluation.proxies.vocabulary import Vocabulary

NAME = "ho_piqa"
CHOICES = 2
SENTENCE_WORDS = (10, 18)
WORDS_BEFORE = 3
WORDS_AFTER = 2

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


def make_item(sentence: Sentence, vocabulary: Vocabulary) -> dict | None:
    """Columns `query` (the sentence up to the word) and `choices` (word and rest, the right one first).

    The words before are the same for both, so this ranks the two whole sentences and scores fewer tokens.
    """
    exchange = exchange_word(NAME, sentence, vocabulary, WORDS_BEFORE, WORDS_AFTER)
    if exchange is None:
        return None
    return {
        "query": exchange.before.rstrip(),
        "choices": [exchange.right + exchange.after, exchange.wrong + exchange.after],
    }


def place_answer(item: dict, label: int) -> dict:
    """The item with its right answer at position `label`."""
    right, wrong = item["choices"]
    return item | {"choices": [wrong, right] if label else [right, wrong], "label": label}
