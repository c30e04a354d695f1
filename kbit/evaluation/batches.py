"""Rows packed into batches of a token budget with little padding.

Batches depend on the requests, the context length, the budget and whether prefixes are shared: never on what is left
to do, so that a re-run gives the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from kbit.evaluation.requests import Requests
from kbit.evaluation.tries import Row, make_rows
from kbit.evaluation.windows import cut_windows
from kbit.models.inputs import ModelInputs

PADDING = 0
"""Any token will do: it stands to the right of all that is scored, and nothing attends to it."""
MOST_PADDING = 0.05
"""Padding of a batch at most, as a share of its tokens."""
LONGEST_TRIE = 8192
"""Tokens of a trie at most. Its mask has length^2 values, 0.3 GB of float32 here; a longer text is a plain row."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one forward pass, on the model's device."""

    inputs: ModelInputs
    positions: torch.Tensor
    """int64 [n]: places whose prediction is scored, in the flattened inputs."""
    targets: torch.Tensor
    """int64 [n]: the tokens scored there."""
    owners: np.ndarray
    """int64 [n]: the request each belongs to."""
    n_tokens: int
    """Tokens of the inputs, padding left out."""


def pack_rows(rows: Sequence[Row], token_budget: int) -> list[list[Row]]:
    """Longest first, as many as fit the budget with their padding, which is `MOST_PADDING` at most; at least one."""
    packed: list[list[Row]] = []
    n_tokens = 0
    for row in sorted(rows, key=lambda row: -len(row)):  # stable: equal lengths keep their order
        padded = len(packed[-1][0]) * (len(packed[-1]) + 1) if packed else 0
        if packed and padded <= min(token_budget, (1 + MOST_PADDING) * (n_tokens + len(row))):
            packed[-1].append(row)
            n_tokens += len(row)
        else:
            packed.append([row])
            n_tokens = len(row)
    return packed


def make_batch(rows: Sequence[Row], device: torch.device) -> Batch:
    longest = max(map(len, rows))
    starts = np.arange(len(rows)) * longest
    return Batch(
        inputs=make_inputs(rows, longest, device),
        positions=to_device([start + row.scored for start, row in zip(starts, rows, strict=True)], device),
        targets=to_device([row.targets for row in rows], device),
        owners=np.concatenate([row.owners for row in rows]),
        n_tokens=sum(map(len, rows)),
    )


def make_inputs(rows: Sequence[Row], longest: int, device: torch.device) -> ModelInputs:
    """Plain causal rows if all are; these run faster. A token of padding attends to itself alone, at position 0."""
    tokens = to_device([pad(row.tokens, np.full(longest, PADDING)) for row in rows], device).view(len(rows), longest)
    if all(row.is_plain for row in rows):
        return ModelInputs(tokens)
    positions = to_device([pad(row.positions, np.zeros(longest, dtype=np.int64)) for row in rows], device)
    ends = to_device([pad(row.ends, np.arange(1, longest + 1)) for row in rows], device)
    return ModelInputs(tokens, positions.view_as(tokens), ends.view_as(tokens))


def pad(values: np.ndarray, padding: np.ndarray) -> np.ndarray:
    """The values, and the padding where they end."""
    padding[: len(values)] = values
    return padding


def to_device(parts: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts)).to(device)


@lru_cache(maxsize=64)
def prepare_batches(
    requests: Requests, max_length: int, token_budget: int, shares_prefixes: bool, device: torch.device
) -> tuple[Batch, ...]:
    """The batches of a task; made once per process, for all cells of a model.

    A trie longer than the budget is cut in several, so that a smaller budget always asks for less memory.
    """
    longest = min(token_budget, LONGEST_TRIE)
    rows = make_rows(requests, cut_windows(requests, max_length), longest, shares_prefixes)
    return tuple(make_batch(packed, device) for packed in pack_rows(rows, token_budget))
