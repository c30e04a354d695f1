"""Is the winner the same without any one of the models?"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kbit.scaling.curves import Curve, common_range
from kbit.scaling.frontier import build_frontier


def winners_without(curves: Sequence[Curve]) -> dict[float, int]:
    """By size (parameters) that is left out: the best k of the others. Sizes without which no range is left are absent.

    Leaving out a size within a curve is the same as moving its point onto the line between its neighbours: all such
    sizes are columns of one comparison. Without a size at an end the range is another.
    """
    sizes = np.unique(np.concatenate([curve.parameters for curve in curves]))
    at_end = {float(end) for curve in curves for end in curve.parameters[[0, -1]]}
    inner = [float(size) for size in sizes if float(size) not in at_end]
    winners = {}
    if inner:
        frontier = build_frontier([bridge(curve, inner) for curve in curves])
        winners = {size: frontier.ks[best] for size, best in zip(inner, frontier.best, strict=True)}
    for size in sorted(at_end):
        others = [curve.without(size) for curve in curves]
        if min(len(curve.x) for curve in others) < 2 or np.subtract(*common_range(others)) >= 0:
            continue
        frontier = build_frontier(others)
        winners[size] = frontier.ks[int(frontier.best[0])]
    return dict(sorted(winners.items()))


def bridge(curve: Curve, sizes: Sequence[float]) -> Curve:
    """A column for each of `sizes`, all within the curve: its points without that size, on all items."""
    y = np.repeat(curve.y[:, :1], len(sizes), axis=1)
    for column, size in enumerate(sizes):
        for index in np.flatnonzero(curve.parameters == size):
            beside = [index - 1, index + 1]
            y[index, column] = np.interp(curve.x[index], curve.x[beside], curve.y[beside, 0])
    return replace(curve, y=y)
