"""Curves and frontier against values worked out by hand."""

import numpy as np
import pytest

from kbit.scaling.curves import common_range, make_curve
from kbit.scaling.frontier import STRIP, Frontier, best_k_at, build_frontier, mean_heights


def curve(bits, *points, label=""):
    x, y = zip(*points, strict=True)
    x = np.array(x, dtype=float)
    return make_curve(bits, label, x, np.array(y, dtype=float)[:, None], parameters=2**x)


def test_interpolation_is_linear_between_sizes_and_exact_at_them():
    line = curve(4, (2, 5), (0, 1), (1, 4))
    assert line.x.tolist() == [0, 1, 2]
    assert line.at(np.array([0, 0.5, 1, 1.75, 2]))[:, 0].tolist() == [1, 2.5, 4, 4.75, 5]


def test_models_of_one_size_are_averaged():
    line = curve(4, (0, 1), (1, 2), (1, 4))
    assert line.y[:, 0].tolist() == [1, 3]


def test_the_winner_takes_the_share_of_the_range_where_it_is_higher():
    # y = x against y = 1/2 on [0, 2]: k = 4 is higher on (1/2, 2], and on average by 1/2.
    frontier = build_frontier([curve(4, (0, 0), (2, 2)), curve(3, (0, 0.5), (2, 0.5))])
    assert frontier.ks == (3, 4)
    # 201 grid points, a hundredth apart: 150 lie above 1/2; the tie at 1/2 goes to the fewer bits.
    assert frontier.share[:, 0].tolist() == [51 / 201, 150 / 201]
    assert frontier.best.tolist() == [1]
    assert frontier.gap(1, 0).mean() == pytest.approx(0.5, abs=1e-12)
    assert best_k_at(frontier, 0.4) == 3
    assert best_k_at(frontier, 0.6) == 4
    assert best_k_at(frontier, 2.1) is None


def test_curves_are_compared_on_their_common_range_only():
    # Outside [1, 2] the 3-bit curve would win by far.
    wide, narrow = curve(3, (0, 100), (1, 0), (2, 0), (3, 100)), curve(4, (1, 1), (2, 1))
    assert common_range([wide, narrow]) == (1, 2)
    assert build_frontier([wide, narrow]).share[:, 0].tolist() == [0, 1]


def test_a_k_with_several_specs_is_as_high_as_the_best_of_them_everywhere():
    rising, falling = curve(4, (0, 0), (2, 2)), curve(4, (0, 2), (2, 0))
    frontier = build_frontier([rising, falling, curve(3, (0, 0.9), (2, 0.9))])
    assert frontier.share[:, 0].tolist() == [0, 1]
    # max(x, 2 - x) averages 3/2 over [0, 2]; on the grid's 201 points a little more at the ends.
    assert frontier.mean[1, 0] == pytest.approx(1.5, abs=0.01)


def test_equal_shares_are_decided_by_the_mean():
    # Each k is best at one of two points, 4 bits by more; then 3 bits by more.
    heights = np.array([[[1.0, 5.0], [0.0, 0.0]], [[0.0, 0.0], [3.0, 3.0]]])
    frontier = Frontier((3, 4), np.array([0.0, 1.0]), heights)
    assert frontier.share.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert frontier.best.tolist() == [1, 0]


def test_the_runner_up_has_the_next_highest_mean_not_the_next_share():
    # 3 bits never win but are close everywhere; 5 bits win a tenth and are far below elsewhere.
    four, three = curve(4, (0, 1), (10, 1)), curve(3, (0, 0.9), (10, 0.9))
    five = curve(5, (0, -9), (9, 0), (9.5, 2), (10, 2))
    frontier = build_frontier([three, four, five])
    assert frontier.best.tolist() == [1]
    assert frontier.runner_up(1) == 0


def test_resamples_are_columns_that_do_not_mix():
    x = np.array([0.0, 2.0])
    three = make_curve(3, "", x, np.array([[1.0, 5.0], [1.0, 5.0]]), x)
    four = make_curve(4, "", x, np.array([[2.0, 2.0], [2.0, 2.0]]), x)
    frontier = build_frontier([three, four])
    assert frontier.best.tolist() == [1, 0]
    assert frontier.gap(1, 0).mean(axis=0).tolist() == [1, -3]


def test_more_resamples_than_a_strip_are_compared_as_one_by_one():
    x, random = np.array([0.0, 1.0, 3.0]), np.random.default_rng(6)
    curves = [make_curve(k, "", x, random.random((3, 2 * STRIP + 5)), x) for k in (3, 4, 4, 4, 5)]
    frontier = build_frontier(curves)
    three, *fours, five = (curve.at(frontier.grid) for curve in curves)
    assert np.array_equal(frontier.winner, frontier.height.argmax(axis=0))
    # Products of three numbers and sums of 201, perhaps in another order.
    assert frontier.height == pytest.approx(np.stack([three, np.maximum.reduce(fours), five]), rel=1e-12)
    assert mean_heights(curves) == pytest.approx(frontier.mean, rel=1e-12)
