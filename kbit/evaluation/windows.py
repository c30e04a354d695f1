"""Requests cut to a model's context length."""

from dataclasses import dataclass

import numpy as np

from kbit.evaluation.requests import Requests
from kbit.spec.errors import UserError


@dataclass(frozen=True, slots=True)
class Window:
    """One sequence for the model."""

    request: int
    inputs: np.ndarray
    """int64 [length]"""
    targets: np.ndarray
    """int64 [n]: tokens that the last n positions of `inputs` predict."""


def cut_windows(requests: Requests, max_length: int) -> list[Window]:
    """What the model reads for each request, at most `max_length` tokens a time, as lm-eval's HFLM cuts it."""
    cut = cut_page if requests.is_rolling else cut_request
    windows = []
    for index, (context, continuation) in enumerate(zip(requests.contexts, requests.continuations, strict=True)):
        if len(continuation) > max_length and not requests.is_rolling:
            raise UserError(
                f"task {requests.task!r}: a continuation of item {requests.doc[index]} has {len(continuation)} tokens "
                f"and the model reads at most {max_length}"
            )
        windows.extend(cut(index, np.concatenate([context, continuation]), len(continuation), max_length))
    return windows


def cut_request(index: int, tokens: np.ndarray, n_scored: int, max_length: int) -> list[Window]:
    """Too long a context loses tokens on the left. The last token is only predicted, never read."""
    tokens = tokens[-(max_length + 1) :]
    return [Window(index, tokens[:-1], tokens[len(tokens) - n_scored :])]


def cut_page(index: int, tokens: np.ndarray, n_scored: int, max_length: int) -> list[Window]:
    """A text in windows: each token is predicted once, the last window reaches back to be full.

    `tokens` is the prefix token and the page. lm-eval's `get_rolling_token_windows` with context_len 1.
    """
    windows = []
    for start in range(0, n_scored, max_length):
        end = min(start + max_length, n_scored)
        windows.append(Window(index, tokens[max(0, end - max_length) : end], tokens[start + 1 : end + 1]))
    return windows
