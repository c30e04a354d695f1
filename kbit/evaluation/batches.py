"""Requests cut to a model's context length and packed into batches of a token budget.

Batches depend on the requests, the context length and the budget alone: never on what is left to do, so that a
re-run gives the same bits.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from kbit.evaluation.requests import Requests
from kbit.models.inputs import ModelInputs
from kbit.spec.errors import UserError

PADDING = 0
"""Any token will do: it stands to the right of all that is scored, and a causal model looks left only."""


@dataclass(frozen=True, slots=True)
class Window:
    """One sequence for the model."""

    request: int
    inputs: np.ndarray
    """int64 [length]"""
    targets: np.ndarray
    """int64 [n]: tokens that the last n positions of `inputs` predict."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences of one forward pass, on the model's device."""

    inputs: ModelInputs
    positions: torch.Tensor
    """int64 [n]: positions whose prediction is scored, in the flattened inputs."""
    targets: torch.Tensor
    """int64 [n]: the tokens scored there."""
    owners: np.ndarray
    """int64 [n]: the request each belongs to."""
    n_tokens: int
    """Tokens of the inputs, padding left out."""


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


def pack_windows(windows: list[Window], token_budget: int) -> list[list[Window]]:
    """Longest first, as many as fit the budget with their padding, at least one."""
    packed: list[list[Window]] = []
    for window in sorted(windows, key=lambda window: -len(window.inputs)):  # stable: equal lengths keep their order
        if packed and len(packed[-1][0].inputs) * (len(packed[-1]) + 1) <= token_budget:
            packed[-1].append(window)
        else:
            packed.append([window])
    return packed


def make_batch(windows: list[Window], device: torch.device) -> Batch:
    lengths = [len(window.inputs) for window in windows]
    longest = max(lengths)
    inputs = np.full((len(windows), longest), PADDING)
    for row, window in zip(inputs, windows, strict=True):
        row[: len(window.inputs)] = window.inputs
    ends = [row * longest + length for row, length in enumerate(lengths)]
    positions = [np.arange(end - len(window.targets), end) for end, window in zip(ends, windows, strict=True)]
    return Batch(
        inputs=ModelInputs(torch.from_numpy(inputs).to(device)),
        positions=torch.from_numpy(np.concatenate(positions)).to(device),
        targets=torch.from_numpy(np.concatenate([window.targets for window in windows])).to(device),
        owners=np.repeat([window.request for window in windows], [len(window.targets) for window in windows]),
        n_tokens=sum(lengths),
    )


@lru_cache(maxsize=64)
def prepare_batches(requests: Requests, max_length: int, token_budget: int, device: torch.device) -> tuple[Batch, ...]:
    """The batches of a task; made once per process, for all cells of a model."""
    return tuple(make_batch(packed, device) for packed in pack_windows(cut_windows(requests, max_length), token_budget))
