"""The winner without each model, against verdicts of the other models; and how many would decide."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from kbit.scaling.curves import common_range, make_curve
from kbit.scaling.decision import by_items, by_models
from kbit.scaling.frontier import build_frontier
from kbit.scaling.stability import winners_without


def curve(bits, x, y):
    x = np.array(x, dtype=float)
    return make_curve(bits, f"{bits}", x + np.log2(bits), np.array(y, dtype=float)[:, None], parameters=2**x)


@pytest.fixture
def curves():
    random = np.random.default_rng(11)
    sizes = np.array([10.0, 11.5, 13, 14, 16])
    return [curve(k, sizes, np.sqrt(sizes + np.log2(k)) + random.normal(0, 0.15, 5)) for k in (3, 4, 5)]


def test_leaving_out_a_size_is_a_verdict_of_the_others(curves):
    found = winners_without(curves)
    assert list(found) == [2**x for x in (10.0, 11.5, 13, 14, 16)]
    for size, winner in found.items():
        others = [one.without(size) for one in curves]
        frontier = build_frontier(others)
        assert winner == frontier.ks[int(frontier.best[0])], size
    # Not a study where nothing ever changes.
    assert len(set(found.values())) > 1


def test_a_size_without_which_no_range_is_left_is_not_counted():
    two = [curve(k, [10, 12], [1, 2]) for k in (3, 4)]
    assert winners_without(two) == {}
    apart = [curve(3, [10, 12, 14], [1, 2, 3]), replace(curve(4, [10, 12, 14], [1, 2, 3]), x=np.array([14.0, 16, 18]))]
    assert common_range(apart)[0] < common_range(apart)[1]
    assert 2.0**14 not in winners_without(apart)


def test_a_win_in_nearly_all_resamples_is_decided_and_one_in_half_never():
    assert by_items(0.97, 100).is_decided
    even = by_items(0.5, 100)
    assert (even.is_decided, even.needed) == (False, None)
    assert "more items would not" in even.note


def test_four_times_the_items_halve_the_error():
    # A margin of half the 1.645 standard errors that decide: twice the precision is needed.
    half = by_items(float(stats.norm.cdf(stats.norm.ppf(0.95) / 2)), 500)
    assert half.needed == pytest.approx(2000, abs=1)
    assert "about 2,00" in half.note


def test_the_models_that_would_decide_a_gap():
    n, gap, se = 5, 0.02, 0.01
    reach = stats.t.ppf(0.975, n - 1) * se
    found = by_models(gap, gap - reach, gap + reach, n)
    assert not found.is_decided
    needed = found.needed
    # The smallest number whose interval, at an error that falls with its root, leaves 0 out.
    for count, decides in ((needed, True), (needed - 1, False)):
        assert (stats.t.ppf(0.975, count - 1) * se * np.sqrt(n / count) < gap) == decides
    assert by_models(gap, 0.001, 0.039, n).is_decided
    assert by_models(-0.01, -0.04, 0.02, n).needed is None
