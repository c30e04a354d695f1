"""Standard errors of lm-eval's aggregates over items: closed forms instead of lm-eval's bootstrap of 100,000 draws.

mean: s / sqrt(n), as lm-eval has it. exp(-mean), sum(a)/sum(b) and functions of them: the delta method
(Cochran, Sampling Techniques, 3rd ed., 2.11 for the ratio). Items are taken to be independent.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from lm_eval.api import metrics


def standard_error(aggregate: Callable, items: Sequence) -> float | None:
    """Standard error of `aggregate(items)`; None if unknown, not finite, or if there is but one item."""
    estimate = ESTIMATES.get(aggregate)
    if estimate is None or len(items) < 2:
        return None
    with np.errstate(all="ignore"):  # an infinite item makes an infinite or undefined error, which is None below
        error = float(estimate(np.asarray(items, dtype=np.float64)))
    return error if math.isfinite(error) else None


def mean_error(values: np.ndarray) -> float:
    return values.std(ddof=1) / math.sqrt(len(values))


def perplexity_error(values: np.ndarray) -> float:
    """Of exp(-mean): the value times the error of the mean."""
    return np.exp(-values.mean()) * mean_error(values)


def ratio_error(pairs: np.ndarray) -> float:
    """Of sum(a) / sum(b) over rows (a, b)."""
    values, weights = pairs.T
    residuals = values - values.sum() / weights.sum() * weights
    return residuals.std(ddof=1) * math.sqrt(len(pairs)) / weights.sum()


def weighted_perplexity_error(pairs: np.ndarray) -> float:
    """Of exp(-sum(a) / sum(b))."""
    values, weights = pairs.T
    return np.exp(-values.sum() / weights.sum()) * ratio_error(pairs)


def bits_error(pairs: np.ndarray) -> float:
    return ratio_error(pairs) / math.log(2)


ESTIMATES: dict[Callable, Callable[[np.ndarray], float]] = {
    metrics.mean: mean_error,
    metrics.perplexity: perplexity_error,
    metrics.weighted_perplexity: weighted_perplexity_error,
    metrics.bits_per_byte: bits_error,
}
"""By lm-eval's aggregate function."""
