"""A row says exactly what its windows say, each common start once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbit.evaluation.requests import Requests
from kbit.evaluation.tries import Row, make_rows
from kbit.evaluation.windows import Window, cut_windows

LONG = 10_000


@st.composite
def items(draw) -> list[list[tuple[list[int], list[int]]]]:
    """Items of (context, continuation); two tokens only, so that windows share starts of all lengths."""
    token = st.integers(0, 1)
    contexts, continuations = st.lists(token, min_size=1, max_size=6), st.lists(token, min_size=1, max_size=4)
    return draw(st.lists(st.lists(st.tuples(contexts, continuations), min_size=1, max_size=5), min_size=1, max_size=4))


def requests_from(items: list, output_type: str = "loglikelihood") -> Requests:
    pairs = [pair for item in items for pair in item]
    return Requests(
        header={"task": "made_up", "output_type": output_type, "tokenizer_max_length": None},
        docs=[{} for _ in items],
        doc=np.repeat(np.arange(len(items), dtype=np.int32), [len(item) for item in items]),
        contexts=[np.array(context, dtype=np.int64) for context, _ in pairs],
        continuations=[np.array(continuation, dtype=np.int64) for _, continuation in pairs],
    )


def read_by(row: Row, token: int) -> list[int]:
    """What the model has read of a row when it predicts what follows a token: all that the token attends to."""
    return [int(row.tokens[i]) for i in range(token + 1) if token < row.ends[i]]


def predictions(rows: list[Row]) -> list[tuple]:
    """(request, target, all that was read before it)"""
    return sorted(
        (owner, target, read_by(row, token))
        for row in rows
        for owner, target, token in zip(row.owners.tolist(), row.targets.tolist(), row.scored.tolist(), strict=True)
    )


def wanted_predictions(windows: list[Window]) -> list[tuple]:
    return sorted(
        (window.request, int(target), window.inputs[: len(window.inputs) - len(window.targets) + 1 + i].tolist())
        for window in windows
        for i, target in enumerate(window.targets)
    )


@given(items=items(), max_length=st.integers(4, 9), longest=st.sampled_from([1, 7, 12, LONG]), shares=st.booleans())
def test_every_prediction_reads_its_own_window(items, max_length, longest, shares):
    requests = requests_from(items)
    windows = cut_windows(requests, max_length)
    rows = make_rows(requests, windows, longest, shares)
    assert predictions(rows) == wanted_predictions(windows)
    for row in rows:
        assert [len(read_by(row, token)) - 1 for token in range(len(row))] == row.positions.tolist()
        assert row.positions.max() < max_length
        assert row.is_plain == all(row.ends == len(row))
        assert len(row) <= max(longest, max_length)


@given(items=items(), max_length=st.integers(4, 9))
def test_a_row_holds_each_common_start_once(items, max_length):
    requests = requests_from(items)
    windows = cut_windows(requests, max_length)
    starts = {
        (requests.doc[window.request], *window.inputs[:length])
        for window in windows
        for length in range(1, len(window.inputs) + 1)
    }
    assert sum(map(len, make_rows(requests, windows, LONG, True))) == len(starts)


def test_a_row_in_depth_first_order():
    """Two endings of one context, the first tokens of which are predicted at the same place."""
    requests = requests_from([[([5, 6], [1, 2, 3]), ([5, 6], [4, 2])]])
    (row,) = make_rows(requests, cut_windows(requests, 8), LONG, True)
    assert row.tokens.tolist() == [5, 6, 1, 2, 4]
    assert row.positions.tolist() == [0, 1, 2, 3, 2]
    assert row.ends.tolist() == [5, 5, 4, 4, 5]
    assert row.scored.tolist() == [1, 2, 3, 1, 4]
    assert row.targets.tolist() == [1, 2, 3, 4, 2]
    assert row.owners.tolist() == [0, 0, 0, 1, 1]


def test_contexts_cut_by_unequal_lengths_have_rows_of_their_own():
    requests = requests_from([[([5, 6, 7], [1]), ([5, 6, 7], [1, 2])]])
    rows = make_rows(requests, cut_windows(requests, 3), LONG, True)
    assert [row.tokens.tolist() for row in rows] == [[5, 6, 7], [6, 7, 1]]


@pytest.mark.parametrize("output_type", ["loglikelihood", "loglikelihood_rolling"])
def test_a_row_for_each_window_where_nothing_is_shared(output_type):
    requests = requests_from([[([5], [1, 2, 3])], [([5], [1, 2])], [([5], [1])]], output_type)
    windows = cut_windows(requests, 8)
    rows = make_rows(requests, windows, LONG, output_type == "loglikelihood_rolling")
    assert [row.tokens.tolist() for row in rows] == [window.inputs.tolist() for window in windows]
    assert all(row.is_plain for row in rows)
