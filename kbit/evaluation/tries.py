"""Rows of tokens: the windows of an item merged into a trie, in which what they have in common stands once.

Whatever common start windows have is shared, at any depth: the endings of one context, two contexts that differ in
one word, solutions that begin alike. `kbit.models.inputs` says what a model makes of such a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from kbit.evaluation.requests import Requests
from kbit.evaluation.windows import Window


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The trie of some windows in depth-first order. All arrays int64; the first three [length]."""

    tokens: np.ndarray
    positions: np.ndarray
    """Depth of each token: how many tokens of its windows stand before it."""
    ends: np.ndarray
    """Where the subtree of each token ends, exclusive."""
    scored: np.ndarray
    """[n]: tokens whose prediction is scored, one for each target of each window."""
    targets: np.ndarray
    """[n]: the tokens scored there."""
    owners: np.ndarray
    """[n]: the request each belongs to."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_plain(self) -> bool:
        """The trie has a single branch: the row is a text."""
        return bool(self.positions[-1] == len(self) - 1)


def make_rows(requests: Requests, windows: Sequence[Window], longest: int, shares_prefixes: bool) -> list[Row]:
    """Rows of all windows, item by item; a row for each window where prefixes are not shared or texts are scored whole.

    longest: tokens of a row at most (or one window): the trie of an item with many or long endings is cut in several.
    """
    if requests.is_rolling or not shares_prefixes:
        return [plain_row(window) for window in windows]
    items = groupby(windows, key=lambda window: requests.doc[window.request])
    return [row_of(*group) for _, item in items for group in group_windows(list(item), longest)]


def row_of(windows: list[Window], shared: list[int]) -> Row:
    return merge_windows(windows, shared) if len(windows) > 1 else plain_row(windows[0])


def plain_row(window: Window) -> Row:
    """A row of a single window."""
    length, n_scored = len(window.inputs), len(window.targets)
    return Row(
        tokens=window.inputs,
        positions=np.arange(length),
        ends=np.full(length, length),
        scored=np.arange(length - n_scored, length),
        targets=window.targets,
        owners=np.full(n_scored, window.request),
    )


def group_windows(windows: list[Window], longest: int) -> Iterator[tuple[list[Window], list[int]]]:
    """Windows that share a row, with what each has in common with the one before it in the row, in tokens.

    Windows whose first tokens differ (contexts cut on the left by unequal lengths) have nothing to share.
    """
    # In the order of their bytes, windows with a common start stand together, whatever its length.
    ordered = sorted(windows, key=lambda window: window.inputs.tobytes())
    group, shared, size = ordered[:1], [0], len(ordered[0].inputs)
    for before, window in pairwise(ordered):
        common, length = common_start(before.inputs, window.inputs), len(window.inputs)
        if common == 0 or size + length - common > longest:
            yield group, shared
            group, shared, size = [window], [0], length
        else:
            group.append(window)
            shared.append(common)
            size += length - common
    yield group, shared


def common_start(first: np.ndarray, second: np.ndarray) -> int:
    """Tokens that two windows have in common at their start."""
    length = min(len(first), len(second))
    differs = first[:length] != second[:length]
    place = int(differs.argmax()) if length else 0
    return place if length and differs[place] else length


def merge_windows(windows: Sequence[Window], shared: Sequence[int]) -> Row:
    """The trie of windows in depth-first order: window i adds what follows its first shared[i] tokens."""
    lengths = [len(window.inputs) for window in windows]
    starts = np.cumsum([0, *(length - common for length, common in zip(lengths, shared, strict=True))]).tolist()
    return Row(
        tokens=np.concatenate([window.inputs[common:] for window, common in zip(windows, shared, strict=True)]),
        positions=np.concatenate([np.arange(*part) for part in zip(shared, lengths, strict=True)]),
        ends=subtree_ends(lengths, shared, starts),
        scored=scored_tokens(windows, shared, starts),
        targets=np.concatenate([window.targets for window in windows]),
        owners=np.repeat([window.request for window in windows], [len(window.targets) for window in windows]),
    )


def subtree_ends(lengths: Sequence[int], shared: Sequence[int], starts: Sequence[int]) -> np.ndarray:
    """A token's subtree ends where the next window starts that leaves the path at or above it."""
    ends = np.empty(starts[-1], dtype=np.int64)
    end_at_depth = np.full(max(lengths), starts[-1])
    for length, common, start in reversed(list(zip(lengths, shared, starts[:-1], strict=True))):
        ends[start : start + length - common] = end_at_depth[common:length]
        end_at_depth[common:] = start
    return ends


def scored_tokens(windows: Sequence[Window], shared: Sequence[int], starts: Sequence[int]) -> np.ndarray:
    """The tokens before each target: the last ones of each window's path from the root."""
    path = np.empty(max(len(window.inputs) for window in windows), dtype=np.int64)
    scored = []
    for window, common, start in zip(windows, shared, starts, strict=False):
        length = len(window.inputs)
        path[common:length] = np.arange(start, start + length - common)
        scored.append(path[length - len(window.targets) : length].copy())
    return np.concatenate(scored)
