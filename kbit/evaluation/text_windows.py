"""A text cut into windows of equal length, each scored on its own: the convention of GPTQ's evaluation.

As in its code (github.com/IST-DASLab/gptq, get_wikitext2 in datautils.py and opt_eval in opt.py): documents are joined
by a separator and tokenized once as a whole, with whatever special tokens the tokenizer adds; consecutive windows of
2048 tokens, the tail dropped. In each window the first token is context only and the other 2047 are scored. GPTQ
averages the nats over the tokens of a window, then over windows; as all windows are of one length, this is the mean
over all scored tokens.
"""

from typing import TYPE_CHECKING

import numpy as np

from kbit.evaluation.requests import Requests
from kbit.spec.errors import UnsupportedError, UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHARACTERS_PER_TOKEN = 16
"""More than nearly every text has; where there are more still, all of a strip is tokenized."""


def window_requests(
    header: dict[str, object], documents: list[str], item_limit: int | None, tokenizer: "PreTrainedTokenizerBase"
) -> Requests:
    """One item per window: its first token is the context, the rest the continuation, the text scored the document.

    UserError: the text is shorter than one window, or has no room for so many spread over it.
    """
    settings = header["text"]
    text = settings["separator"].join(documents)
    limits = [limit for limit in (settings["windows"], item_limit) if limit is not None]
    if settings.get("spread"):
        windows = spread_windows(header, text, tokenizer)
    else:
        windows = first_windows(header, text, min(limits, default=len(text)), tokenizer)
    windows = windows[: min(limits, default=None)]
    return Requests(
        header=header,
        docs=[{"text": scored} for _, scored in windows],
        doc=np.arange(len(windows), dtype=np.int32),
        contexts=[tokens[:1] for tokens, _ in windows],
        continuations=[tokens[1:] for tokens, _ in windows],
    )


def first_windows(
    header: dict[str, object], text: str, most: int, tokenizer: "PreTrainedTokenizerBase"
) -> list[tuple[np.ndarray, str]]:
    """Tokens int64 [window] and scored text of consecutive windows from the beginning, at most so many."""
    tokens, ends = tokenize_whole(text, tokenizer)
    window = header["text"]["window"]
    n_windows = min(len(tokens) // window, most)
    if n_windows == 0:
        raise UserError(
            f"task {header['task']!r}: its text has {len(tokens)} tokens, fewer than one window of {window} "
            "(text.window of the task in tasks.yaml)"
        )
    cuts = [slice(start, start + window) for start in range(0, n_windows * window, window)]
    return [
        (tokens[cut], scored_text(text, tokens[cut], None if ends is None else ends[cut], tokenizer)) for cut in cuts
    ]


def spread_windows(
    header: dict[str, object], text: str, tokenizer: "PreTrainedTokenizerBase"
) -> list[tuple[np.ndarray, str]]:
    """The same of windows from all over the text: the beginnings of equal strips of it, each tokenized alone.

    Without special tokens, as nothing begins there. Of a large text only what is needed is tokenized.
    """
    window, n_windows = header["text"]["window"], header["text"]["windows"]
    found = []
    for number in range(n_windows):
        strip = text[number * len(text) // n_windows : (number + 1) * len(text) // n_windows]
        piece = strip[: CHARACTERS_PER_TOKEN * window]
        tokens, ends = tokenize_whole(piece, tokenizer, add_special_tokens=False)
        if len(tokens) < window and len(piece) < len(strip):
            tokens, ends = tokenize_whole(strip, tokenizer, add_special_tokens=False)
        if len(tokens) < window:
            raise UserError(
                f"task {header['task']!r}: its text has no {n_windows} windows of {window} tokens: 1/{n_windows} "
                f"of it has {len(tokens)} (text.windows of the task in tasks.yaml)"
            )
        tokens, ends = tokens[:window], None if ends is None else ends[:window]
        found.append((tokens, scored_text(strip, tokens, ends, tokenizer)))
    return found


def tokenize_whole(
    text: str, tokenizer: "PreTrainedTokenizerBase", **special: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """int64 [tokens]: the ids, and where in the text each token ends (None if the tokenizer cannot tell)."""
    offsets = {"return_offsets_mapping": True} if tokenizer.is_fast else {}
    encoded = tokenizer(
        text, return_attention_mask=False, return_token_type_ids=False, verbose=False, **offsets, **special
    )
    tokens = np.array(encoded["input_ids"], dtype=np.int64)
    if not offsets:
        return tokens, None
    # Special tokens lie nowhere: they end where the token before them does. Of tokens that share a character, the
    # first one has it.
    return tokens, np.maximum.accumulate(np.array(encoded["offset_mapping"], dtype=np.int64)[:, 1])


def scored_text(text: str, tokens: np.ndarray, ends: np.ndarray | None, tokenizer: "PreTrainedTokenizerBase") -> str:
    """What all tokens of a window but the first stand for, whose bytes nats_per_byte counts."""
    if ends is None:
        return tokenizer.decode(tokens[1:].tolist(), clean_up_tokenization_spaces=False)
    return text[ends[0] : ends[-1]]


def check_context(requests: Requests, max_length: int) -> None:
    """UnsupportedError if the text was cut into windows that the model cannot read."""
    if requests.window is not None and requests.window > max_length:
        raise UnsupportedError(
            f"task {requests.task!r} scores windows of {requests.window} tokens, the model reads at most {max_length}"
        )
