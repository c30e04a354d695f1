"""ho_perplexity: pages of held-out text, every token scored."""

import re
from collections.abc import Iterator

NAME = "ho_perplexity"
PAGE_CHARACTERS = 500
"""A page fits one window of 256 tokens: many short pages resample better than a few long ones of the same tokens."""

TASK = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "page",
    "metric_list": [
        {"metric": "word_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False},
        {"metric": "byte_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False},
        {"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False},
    ],
}


def cut_pages(text: str) -> Iterator[str]:
    """Pages of at most 500 characters that end where a word does; a last piece shorter than that is left out."""
    start = 0
    while len(text) - start >= PAGE_CHARACTERS:
        end = start + re.search(r"\s+\S*$", text[start : start + PAGE_CHARACTERS + 1]).start()
        yield text[start:end]
        start = end + re.match(r"\s*", text[end:]).end()
