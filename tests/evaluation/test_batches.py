"""Batches keep to their budget, hold little padding and lose nothing."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from kbit.evaluation.batches import make_batch, pack_rows, prepare_batches
from kbit.evaluation.requests import Requests
from kbit.evaluation.tries import Row, make_rows
from kbit.evaluation.windows import cut_windows

CPU = torch.device("cpu")


def requests_from(*items: list[tuple[list[int], list[int]]]) -> Requests:
    """Items of (context, continuation)."""
    pairs = [pair for item in items for pair in item]
    return Requests(
        header={"task": "made_up", "output_type": "loglikelihood", "tokenizer_max_length": None},
        docs=[{} for _ in items],
        doc=np.repeat(np.arange(len(items), dtype=np.int32), [len(item) for item in items]),
        contexts=[np.array(context, dtype=np.int64) for context, _ in pairs],
        continuations=[np.array(continuation, dtype=np.int64) for _, continuation in pairs],
    )


def rows_of(requests: Requests, shares_prefixes: bool = True) -> list[Row]:
    return make_rows(requests, cut_windows(requests, 64), 10_000, shares_prefixes)


rows_of_lengths = st.lists(st.integers(1, 40), min_size=1, max_size=40).map(
    lambda lengths: rows_of(requests_from(*([(list(range(length)), [9])] for length in lengths)))
)


@given(rows=rows_of_lengths, budget=st.integers(1, 400))
def test_batches_hold_every_row_once_within_the_budget(rows, budget):
    packed = pack_rows(rows, budget)
    assert sorted(id(row) for batch in packed for row in batch) == sorted(id(row) for row in rows)
    for batch in packed:
        padded = len(batch) * max(map(len, batch))
        assert padded <= budget or len(batch) == 1
        assert padded - sum(map(len, batch)) <= 0.05 * sum(map(len, batch))
    assert [[id(row) for row in batch] for batch in pack_rows(rows, budget)] == [
        [id(row) for row in batch] for batch in packed
    ]


def test_a_batch_is_filled_as_far_as_the_budget_and_the_padding_let_it():
    rows = rows_of(requests_from(*([(list(range(length)), [9])] for length in (20, 20, 18, 10, 10, 10))))
    # 20 + 20 + 18 tokens are padded by 2 / 58; two rows of 10 fill a budget of 25, three do not fit in.
    assert [[len(row) for row in batch] for batch in pack_rows(rows, 60)] == [[20, 20, 18], [10, 10, 10]]
    assert [[len(row) for row in batch] for batch in pack_rows(rows, 25)] == [[20], [20], [18], [10, 10], [10]]


def test_a_batch_points_at_the_positions_before_each_target():
    batch = make_batch(rows_of(requests_from([([5, 6, 7], [8])], [([5], [6])])), CPU)
    assert batch.inputs.tokens.tolist() == [[5, 6, 7], [5, 0, 0]]
    assert batch.inputs.positions is None
    assert batch.inputs.ends is None
    assert batch.positions.tolist() == [2, 3]
    assert batch.targets.tolist() == [8, 6]
    assert batch.owners.tolist() == [0, 1]
    assert batch.n_tokens == 4


def test_padding_of_tries_attends_to_itself_alone():
    requests = requests_from([([5, 6], [1, 2]), ([5, 6], [3, 4])], [([5, 6], [7])])
    batch = make_batch(rows_of(requests), CPU)
    assert batch.inputs.tokens.tolist() == [[5, 6, 1, 3], [5, 6, 0, 0]]
    assert batch.inputs.positions.tolist() == [[0, 1, 2, 2], [0, 1, 0, 0]]
    assert batch.inputs.ends.tolist() == [[4, 4, 3, 4], [2, 2, 3, 4]]
    assert batch.n_tokens == 6


def test_batches_are_made_once_for_all_cells_of_a_model():
    requests = requests_from([([1], [2])])
    assert prepare_batches(requests, 8, 64, True, CPU) is prepare_batches(requests, 8, 64, True, CPU)
    assert prepare_batches(requests, 8, 32, True, CPU) is not prepare_batches(requests, 8, 64, True, CPU)
    assert prepare_batches(requests, 8, 64, False, CPU) is not prepare_batches(requests, 8, 64, True, CPU)


def test_a_smaller_budget_cuts_long_tries():
    """A job whose GPU ran out of memory halves the budget, in the end to plain rows of one request."""
    requests = requests_from([([5, 6, 7], [i, 1]) for i in range(8)])
    (whole,) = prepare_batches(requests, 64, 64, True, CPU)
    assert whole.inputs.tokens.shape == (1, 11)
    assert [batch.inputs.tokens.shape for batch in prepare_batches(requests, 64, 7, True, CPU)] == [(1, 7), (1, 7)]
    assert [batch.inputs.ends for batch in prepare_batches(requests, 64, 1, True, CPU)] == [None] * 8


def test_texts_too_long_for_a_mask_are_plain_rows():
    long = list(range(9000))
    (batch,) = prepare_batches(requests_from([(long, [1]), (long, [2, 3])]), 10_000, 50_000, True, CPU)
    assert batch.inputs.tokens.shape == (2, 9001)
    assert batch.inputs.ends is None
