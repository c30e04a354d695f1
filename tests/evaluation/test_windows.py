"""Windows are lm-eval's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from kbit.evaluation.requests import Requests
from kbit.evaluation.windows import cut_page, cut_request, cut_windows
from kbit.spec.errors import UserError

PREFIX = 7


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
    requests = Requests(
        header={"task": "made_up", "output_type": "loglikelihood"},
        docs=[{}, {}],
        doc=np.arange(2, dtype=np.int32),
        contexts=[np.array([1]), np.array([1])],
        continuations=[np.array([2]), np.arange(9)],
    )
    with pytest.raises(
        UserError, match="'made_up': a continuation of item 1 has 9 tokens and the model reads at most 8"
    ):
        cut_windows(requests, 8)
    assert len(cut_windows(requests, 9)) == 2
