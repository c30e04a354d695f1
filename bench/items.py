"""Items of random tokens in the formats of the tasks. Speed depends on their lengths, never on what they say.

choice4: 4 endings of 16 to 32 tokens, 24 on average, under a context of 100 (HellaSwag). choice2: 2 solutions of 12 to
36 tokens under a goal of 12 (PIQA). last_word: 1 to 3 tokens after 60 to 110 (LAMBADA). pages: 2048 tokens, all scored.
"""

import numpy as np

from kbit.evaluation.requests import Requests

Item = list[tuple[np.ndarray, np.ndarray]]
"""(context, continuation) of each request of an item, token ids."""
FORMATS = ("choice4", "choice2", "last_word", "pages")
PAGE_TOKENS = 2048


def make_items(name: str, items: int, vocabulary: int) -> list[Item]:
    random = np.random.default_rng(0)

    def tokens(low: int, high: int) -> np.ndarray:
        return random.integers(0, vocabulary, size=random.integers(low, high + 1))

    def choices(context: int, endings: int, low: int, high: int) -> Item:
        shared = tokens(context, context)
        return [(shared, tokens(low, high)) for _ in range(endings)]

    makers = {
        "choice4": lambda: choices(100, 4, 16, 32),
        "choice2": lambda: choices(12, 2, 12, 36),
        "last_word": lambda: [(tokens(60, 110), tokens(1, 3))],
        "pages": lambda: [(tokens(1, 1), tokens(PAGE_TOKENS, PAGE_TOKENS))],
    }
    return [makers[name]() for _ in range(items)]


def as_requests(items: list[Item], rolling: bool = False) -> Requests:
    """What a requests file of these items would be read as; no more of its header than scoring looks at."""
    output_type = "loglikelihood_rolling" if rolling else "loglikelihood"
    return Requests(
        header={"task": "bench", "output_type": output_type, "tokenizer_max_length": None},
        docs=[{} for _ in items],
        doc=np.repeat(np.arange(len(items), dtype=np.int32), [len(item) for item in items]),
        contexts=[np.asarray(context, dtype=np.int64) for item in items for context, _ in item],
        continuations=[np.asarray(ending, dtype=np.int64) for item in items for _, ending in item],
    )


def as_pairs(items: list[Item]) -> list[tuple[None, list[int], list[int]]]:
    """The same for lm-eval's HFLM."""
    return [(None, context.tolist(), ending.tolist()) for item in items for context, ending in item]
