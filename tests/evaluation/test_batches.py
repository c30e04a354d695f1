"""Windows are lm-eval's, batches keep to their budget and lose nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from kbit.evaluation.batches import (
    Window,
    cut_page,
    cut_request,
    cut_windows,
    make_batch,
    pack_windows,
    prepare_batches,
)
from kbit.evaluation.requests import Requests
from kbit.spec.errors import UserError

CPU = torch.device("cpu")
PREFIX = 7


def requests_from(pairs: list[tuple[list[int], list[int]]], output_type: str = "loglikelihood") -> Requests:
    return Requests(
        header={"task": "made_up", "output_type": output_type, "tokenizer_max_length": None},
        docs=[{} for _ in pairs],
        doc=np.arange(len(pairs), dtype=np.int32),
        contexts=[np.array(context, dtype=np.int64) for context, _ in pairs],
        continuations=[np.array(continuation, dtype=np.int64) for _, continuation in pairs],
    )


@given(length=st.integers(0, 60), max_length=st.integers(1, 20))
def test_page_windows_are_those_of_lm_eval(length, max_length):
    page = list(range(100, 100 + length))
    theirs = [
        make_disjoint_window(pair)
        for pair in get_rolling_token_windows(page, prefix_token=PREFIX, max_seq_len=max_length, context_len=1)
    ]
    ours = cut_page(0, np.array([PREFIX, *page]), length, max_length)
    # HFLM reads all tokens of a window but the last, which it only predicts.
    assert [window.inputs.tolist() for window in ours] == [(context + scored)[:-1] for context, scored in theirs]
    assert [window.targets.tolist() for window in ours] == [scored for _, scored in theirs]


@given(context=st.integers(1, 30), continuation=st.integers(1, 10), max_length=st.integers(10, 25))
def test_a_request_keeps_its_right_end(context, continuation, max_length):
    tokens = np.arange(context + continuation)
    (window,) = cut_request(0, tokens, continuation, max_length)
    assert len(window.inputs) == min(max_length, len(tokens) - 1)
    assert window.inputs[-1] == tokens[-2]
    assert window.targets.tolist() == tokens[context:].tolist()


def test_a_continuation_longer_than_the_context_length_is_refused():
    requests = requests_from([([1], [2]), ([1], list(range(9)))])
    with pytest.raises(
        UserError, match="'made_up': a continuation of item 1 has 9 tokens and the model reads at most 8"
    ):
        cut_windows(requests, 8)
    assert len(cut_windows(requests, 9)) == 2


windows_of_lengths = st.lists(st.integers(1, 40), min_size=1, max_size=40).map(
    lambda lengths: [Window(i, np.arange(n), np.array([i])) for i, n in enumerate(lengths)]
)


@given(windows=windows_of_lengths, budget=st.integers(1, 200))
def test_batches_hold_every_window_once_within_the_budget(windows, budget):
    packed = pack_windows(windows, budget)
    assert sorted(window.request for batch in packed for window in batch) == [window.request for window in windows]
    for batch in packed:
        padded = len(batch) * max(len(window.inputs) for window in batch)
        assert padded <= budget or len(batch) == 1
    assert [[w.request for w in batch] for batch in pack_windows(windows, budget)] == [
        [w.request for w in batch] for batch in packed
    ]


def test_a_batch_points_at_the_positions_before_each_target():
    batch = make_batch([Window(3, np.array([5, 6, 7]), np.array([8])), Window(1, np.array([5]), np.array([6]))], CPU)
    assert batch.inputs.tolist() == [[5, 6, 7], [5, 0, 0]]
    assert batch.positions.tolist() == [2, 3]
    assert batch.targets.tolist() == [8, 6]
    assert batch.owners.tolist() == [3, 1]
    assert batch.n_tokens == 4


def test_batches_are_made_once_for_all_cells_of_a_model():
    requests = requests_from([([1], [2])])
    assert prepare_batches(requests, 8, 64, CPU) is prepare_batches(requests, 8, 64, CPU)
    assert prepare_batches(requests, 8, 32, CPU) is not prepare_batches(requests, 8, 64, CPU)
