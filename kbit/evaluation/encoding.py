"""Texts to token ids exactly as lm-eval's HFLM does it, but in batches.

lm-eval calls the tokenizer twice per request. Here every different text of a task goes through it once, in one call.
The rules are those of lm-eval 0.4.13 (`TemplateLM._encode_pair`, `TemplateLM.loglikelihood`, `HFLM.tok_encode`):
spaces at the end of a context move to its continuation; the continuation is what the tokens of the whole have beyond
the length of the tokens of the context; special tokens are the tokenizer's own choice unless the text already starts
with the prefix token; an empty context becomes the prefix token, unless the continuation starts with it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from kbit.spec.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Encoded(NamedTuple):
    """One request: score `continuation` after `context`."""

    context: list[int]
    continuation: list[int]


def prefix_token(tokenizer: "PreTrainedTokenizerBase", name: str) -> int:
    """The token that stands for an empty context: BOS, else EOS. UserError if the tokenizer has neither."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return token
    raise UserError(
        f"the tokenizer of model {name!r} has neither a BOS nor an EOS token, one of which starts an empty context"
    )


def encode_texts(texts: Iterable[str], tokenizer: "PreTrainedTokenizerBase", **special: bool) -> dict[str, list[int]]:
    """Token ids by text."""
    unique = sorted(set(texts))
    if not unique:
        return {}
    encoded = tokenizer(unique, return_attention_mask=False, return_token_type_ids=False, verbose=False, **special)
    return dict(zip(unique, encoded["input_ids"], strict=True))


def encode_default(texts: Iterable[str], tokenizer: "PreTrainedTokenizerBase", prefix: int) -> dict[str, list[int]]:
    """With the tokenizer's own special tokens; without any for a text that already starts with the prefix token."""
    start = tokenizer.decode(prefix)
    prefixed = {text for text in texts if text.startswith(start)}
    return {
        **encode_texts(set(texts) - prefixed, tokenizer),
        **encode_texts(prefixed, tokenizer, add_special_tokens=False),
    }


def move_spaces(context: str, continuation: str) -> tuple[str, str]:
    """White space at the end of the context becomes the start of the continuation."""
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation


def encode_pairs(pairs: list[tuple[str, str]], tokenizer: "PreTrainedTokenizerBase", prefix: int) -> list[Encoded]:
    """(context, continuation) texts of loglikelihood requests."""
    moved = [move_spaces(*pair) for pair in pairs if pair[0]]
    ids = encode_default({text for pair in moved for text in (pair[0], "".join(pair))}, tokenizer, prefix)
    bare = encode_texts(
        [continuation for context, continuation in pairs if not context], tokenizer, add_special_tokens=False
    )
    return [split_whole(*move_spaces(*pair), ids) if pair[0] else after_prefix(bare[pair[1]], prefix) for pair in pairs]


def split_whole(context: str, continuation: str, ids: dict[str, list[int]]) -> Encoded:
    return Encoded(ids[context], ids[context + continuation][len(ids[context]) :])


def after_prefix(ids: list[int], prefix: int) -> Encoded:
    return Encoded(ids[:1], ids[1:]) if ids[:1] == [prefix] else Encoded([prefix], ids)


def encode_pages(pages: list[str], tokenizer: "PreTrainedTokenizerBase", prefix: int) -> list[Encoded]:
    """Texts of loglikelihood_rolling requests: scored whole, after the prefix token."""
    ids = encode_default(pages, tokenizer, prefix)
    return [Encoded([prefix], ids[page]) for page in pages]
