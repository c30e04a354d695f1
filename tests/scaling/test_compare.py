"""Paired tests against published tables, hand-computed values and scipy; and what of two rows they are taken from."""

import math

import numpy as np
import pytest
from scipy import stats

from kbit.scaling.compare import compare_accuracy, compare_likelihoods
from kbit.scaling.compare_cells import ScoredCell, compare_cells
from kbit.spec.errors import UserError
from kbit.store.paths import requests_path


def answers(both, only_first, only_second, neither):
    """Two cells' right answers, from the counts of a table of two by two."""
    counts = (both, only_first, only_second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_mcnemar_of_a_published_survey():
    """Approval of the prime minister: Agresti, Categorical Data Analysis, 2nd ed., table 10.1 and section 10.1."""
    test = compare_accuracy(*answers(794, 150, 86, 570))
    assert (round(test.first, 2), round(test.second, 2)) == (0.59, 0.55)
    assert test.difference.value == pytest.approx(-0.04, abs=1e-12)
    assert round(test.difference.stderr, 4) == 0.0095
    assert (round(test.difference.low, 2), round(test.difference.high, 2)) == (-0.06, -0.02)
    # The book's z^2 = 17.36 is without continuity correction: (|86 - 150| - 1)^2 / 236 = 16.82 with it.
    assert not test.is_exact
    assert test.p_value == pytest.approx(stats.chi2.sf(63**2 / 236, 1), rel=1e-9)


def test_mcnemar_of_few_disagreements_is_exact():
    """Airway reactivity of 21 children (Bentur et al. 2009): 1 against 7. By hand: 2 (1 + 8) / 2^8."""
    test = compare_accuracy(*answers(1, 1, 7, 12))
    assert test.is_exact
    assert test.p_value == pytest.approx(18 / 256, rel=1e-12)
    assert test.difference.value == pytest.approx(6 / 21, rel=1e-12)
    assert test.difference.stderr == pytest.approx(math.sqrt(8 / 21 - (6 / 21) ** 2) / math.sqrt(21), rel=1e-12)
    # Bonett and Price: (8 - 2) / 23 -+ 1.95996 sqrt((10 / 23 - (6 / 23)^2) / 23).
    assert test.difference.low == pytest.approx(0.0134, abs=5e-5)
    assert test.difference.high == pytest.approx(0.5084, abs=5e-5)


@pytest.mark.parametrize(("only_second", "is_exact"), [(16, True), (17, False)])
def test_the_exact_test_ends_where_the_approximation_holds(only_second, is_exact):
    test = compare_accuracy(*answers(10, 8, only_second, 10))
    assert test.is_exact == is_exact
    exact = stats.binomtest(8, 8 + only_second).pvalue
    # 0.1096 for 0.1078: corrected for continuity, the approximation errs on the careful side.
    assert test.p_value == pytest.approx(exact, rel=1e-9 if is_exact else 0.02)


def test_cells_that_agree_differ_by_nothing_but_not_certainly():
    test = compare_accuracy(*answers(30, 0, 0, 20))
    assert (test.difference.value, test.difference.stderr, test.p_value) == (0.0, 0.0, 1.0)
    assert test.difference.low == -test.difference.high
    assert 0 < test.difference.high < 0.06


def test_the_interval_covers_the_true_difference_as_often_as_it_says():
    generator = np.random.default_rng(5)
    covered, n_studies, truth = 0, 400, 0.1
    for _ in range(n_studies):
        table = generator.multinomial(80, [0.55, 0.05, 0.15, 0.25])
        interval = compare_accuracy(*answers(*table)).difference
        covered += interval.low <= truth <= interval.high
    # 95 % of 400 is 380; three standard deviations of the count are 13.
    assert abs(covered - 380) <= 13


def test_log_likelihoods_by_a_paired_t_test():
    generator = np.random.default_rng(1)
    first = generator.normal(-20, 5, size=60).astype(np.float32)
    second = (first + generator.normal(-0.3, 1, size=60)).astype(np.float32)
    test = compare_likelihoods(first, second, np.full(60, 4))
    found = stats.ttest_rel(second.astype(float), first.astype(float))
    assert (test.t, test.p_value) == pytest.approx((found.statistic, found.pvalue), rel=1e-9)
    interval = found.confidence_interval(0.95)
    assert (test.per_item.low, test.per_item.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    # Items of equal length: a token is a quarter of an item, in every figure.
    assert (test.n_items, test.n_tokens) == (60, 240)
    for name in ("value", "stderr", "low", "high"):
        assert getattr(test.per_token, name) == pytest.approx(getattr(test.per_item, name) / 4, rel=1e-9)


def test_a_difference_per_token_weighs_items_by_their_tokens():
    # By hand: differences -1 and -5 of 2 and 3 tokens. Per token -6/5; residuals -1 + 2.4 = 1.4 and -1.4.
    test = compare_likelihoods(np.float32([-2, -4]), np.float32([-3, -9]), np.array([2, 3]))
    assert (test.first, test.second) == pytest.approx((-6 / 5, -12 / 5))
    assert test.per_token.value == pytest.approx(-6 / 5)
    assert test.per_token.stderr == pytest.approx(math.sqrt(2 * 1.4**2) * math.sqrt(2) / 5)
    assert test.per_item.value == pytest.approx(-3)
    # t of one degree of freedom: 12.706 standard errors; the two differ by 4, so the error of their mean is 2.
    assert test.per_item.high - test.per_item.value == pytest.approx(12.706 * 2, rel=1e-4)


def test_what_is_not_finite_is_left_out_and_counted():
    first, second = np.float32([-1, -2, -np.inf, -3]), np.float32([-2, np.nan, -1, -5])
    test = compare_likelihoods(first, second, np.array([1, 10, 10, 2]))
    assert (test.n_items, test.n_left_out, test.n_tokens) == (2, 2, 3)
    assert test.per_item.value == pytest.approx(-1.5)
    assert compare_likelihoods(np.float32([-np.inf]), np.float32([-1]), np.array([1])) is None


def test_differences_without_spread():
    ones = np.ones(3, dtype=np.int64)
    equal = compare_likelihoods(np.float32([-1, -2, -3]), np.float32([-1, -2, -3]), ones)
    assert (equal.t, equal.p_value, equal.per_item.stderr) == (0.0, 1.0, 0.0)
    shifted = compare_likelihoods(np.float32([-1, -2, -3]), np.float32([-2, -3, -4]), ones)
    assert (shifted.t, shifted.p_value) == (-math.inf, 0.0)
    single = compare_likelihoods(np.float32([-1]), np.float32([-2]), ones[:1])
    assert (single.t, single.p_value, single.per_item.value, single.per_item.stderr) == (None, None, -1.0, None)


def cell(name, samples, greedy=None, **changes):
    values = {"task": "task", "task_identity": "items", "requests": "aaaaaaaaaaaa", "status": "ok", "metrics": {}}
    flags = None if greedy is None else np.array(greedy)
    return ScoredCell(name=name, cell_id=name, samples=np.float32(samples), greedy=flags, **{**values, **changes})


PATH = requests_path("task", "aaaaaaaaaaaa")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_of_several_choices_the_right_one_counts(write_requests):
    write_requests("task", [{"gold": 1}, {"gold": 0}], [2, 3], {"doc_to_target": "gold"})
    first = cell("first", [-2, -1, -1, -2, -3], metrics={"acc": 1.0})
    second = cell("second", [-1, -4, -3, -2, -1], metrics={"acc": 0.0})
    found = compare_cells(first, second, PATH)
    assert (found.accuracies["acc"].only_first, found.accuracies["acc"].only_second) == (2, 0)
    # The right choices: -1 -> -4 and -1 -> -3, of three tokens each.
    assert found.likelihood.per_item.value == pytest.approx(-2.5)
    assert found.likelihood.n_tokens == 6
    assert found.notes == ()


def test_last_words_are_right_if_greedy(write_requests):
    write_requests("task", [{"target": " news"}] * 3, [1] * 3, {"doc_to_target": "target"})
    first = cell("first", [-1, -2, -3], [True, False, False], metrics={"acc": 1 / 3})
    second = cell("second", [-2, -2, -1], [True, True, True], metrics={"acc": 1.0})
    found = compare_cells(first, second, PATH)
    assert (found.accuracies["acc"].only_first, found.accuracies["acc"].only_second) == (0, 2)
    assert found.likelihood.per_item.value == pytest.approx(1 / 3)


def test_whole_texts_have_no_accuracy(write_requests):
    write_requests("task", [{"page": "a"}, {"page": "b"}], [1, 1], {"doc_to_target": "page"}, rolling=True)
    found = compare_cells(cell("first", [-30, -50]), cell("second", [-33, -53]), PATH)
    assert found.accuracies == {}
    assert found.likelihood.per_token.value == pytest.approx(-1)


def test_an_accuracy_that_does_not_follow_is_said_so(write_requests):
    write_requests("task", [{"gold": 1}, {"gold": 0}], [2, 2], {"doc_to_target": "gold"})
    cells = [cell(name, [-2, -1, -1, -2], metrics={"acc": 1.0, "acc_norm": 0.5}) for name in ("first", "second")]
    found = compare_cells(*cells, PATH)
    assert list(found.accuracies) == ["acc"]
    assert found.notes == ("acc_norm does not follow from the samples",)
    with pytest.raises(UserError, match=r"cannot be compared: acc does not follow.*; which choice is right does not"):
        compare_cells(*(cell(name, [-2, -1, -1, -2], metrics={"acc": 0.25}) for name in ("first", "second")), PATH)


def test_only_the_same_requests_can_be_paired():
    first = cell("a/none16/task", [-1, -2])
    with pytest.raises(UserError, match="did not answer the same requests: their models have different tokenizers"):
        compare_cells(first, cell("b/none16/task", [-1, -2], requests="bbbbbbbbbbbb"), PATH)
    with pytest.raises(UserError, match="did not answer the same requests: these are items of task and quiz"):
        compare_cells(
            first, cell("a/none16/quiz", [-1], task="quiz", task_identity="others", requests="cccccccccccc"), PATH
        )
    with pytest.raises(UserError, match="are one cell"):
        compare_cells(first, first, PATH)
    with pytest.raises(UserError, match=r"no requests file .* of these samples"):
        compare_cells(first, cell("a/int4-b64/task", [-1, -2]), PATH)
