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


def window_requests(
    header: dict[str, object], documents: list[str], item_limit: int | None, tokenizer: "PreTrainedTokenizerBase"
) -> Requests:
    """One item per window: its first token is the context, the rest the continuation, the text scored the document.

    UserError: the text is shorter than one window.
    """
    settings = header["text"]
    text = settings["separator"].join(documents)
    tokens, ends = tokenize_whole(text, tokenizer)
    window = settings["window"]
    limits = [limit for limit in (settings["windows"], item_limit) if limit is not None]
    n_windows = min([len(tokens) // window, *limits])
    if n_windows == 0:
        raise UserError(
            f"task {header['task']!r}: its text has {len(tokens)} tokens, fewer than one window of {window} "
            "(text.window of the task in tasks.yaml)"
        )
    windows = [slice(start, start + window) for start in range(0, n_windows * window, window)]
    return Requests(
        header=header,
        docs=[
            {"text": scored_text(text, tokens[cut], None if ends is None else ends[cut], tokenizer)} for cut in windows
        ],
        doc=np.arange(n_windows, dtype=np.int32),
        contexts=[tokens[cut][:1] for cut in windows],
        continuations=[tokens[cut][1:] for cut in windows],
    )


def tokenize_whole(text: str, tokenizer: "PreTrainedTokenizerBase") -> tuple[np.ndarray, np.ndarray | None]:
    """int64 [tokens]: the ids, and where in the text each token ends (None if the tokenizer cannot tell)."""
    offsets = {"return_offsets_mapping": True} if tokenizer.is_fast else {}
    encoded = tokenizer(text, return_attention_mask=False, return_token_type_ids=False, verbose=False, **offsets)
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
