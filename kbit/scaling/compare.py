"""Paired tests: two cells answered the same items, which one did better, and could it be chance?

Every difference is the second cell's minus the first's, and larger is better. Items are taken to be independent.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXACT_BELOW = 25
"""Items on which the cells disagree, below which McNemar's test is exact: the chi-squared form is an approximation
that is usually trusted from 25 on (Edwards' correction keeps it on the careful side)."""
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """Second minus first."""

    value: float
    stderr: float | None
    """Standard error; None of a single item."""
    low: float | None
    high: float | None
    """Bounds of the 95 % interval."""


@dataclass(frozen=True, slots=True)
class AccuracyTest:
    """McNemar's test: of the items that only one cell answers right, does either have more than half?"""

    n_items: int
    first: float
    second: float
    """Shares of items that are right."""
    only_first: int
    only_second: int
    """Items that only this cell answers right."""
    difference: Difference
    p_value: float
    is_exact: bool
    """Binomial; otherwise chi-squared with continuity correction."""


@dataclass(frozen=True, slots=True)
class LikelihoodTest:
    """Paired t test of log-likelihoods, nats."""

    n_items: int
    n_left_out: int
    """Items for which either cell has no finite log-likelihood; not in `n_items`."""
    n_tokens: int
    first: float
    second: float
    """Nats per token."""
    per_item: Difference
    per_token: Difference
    t: float | None
    p_value: float | None
    """Both None where there are fewer than two items."""


def compare_accuracy(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> AccuracyTest:
    """first, second: bool [items], whether the cell is right; at least one item."""
    from statsmodels.stats.contingency_tables import mcnemar

    table = [[int(np.sum((first == a) & (second == b))) for b in (True, False)] for a in (True, False)]
    only_first, only_second, n = table[0][1], table[1][0], len(first)
    is_exact = only_first + only_second < EXACT_BELOW
    return AccuracyTest(
        n_items=n,
        first=float(np.mean(first)),
        second=float(np.mean(second)),
        only_first=only_first,
        only_second=only_second,
        difference=difference_of_shares(only_first, only_second, n),
        p_value=float(mcnemar(table, exact=is_exact, correction=True).pvalue),
        is_exact=is_exact,
    )


def difference_of_shares(only_first: int, only_second: int, n: int) -> Difference:
    """Of two shares of the same n items.

    The interval is Bonett and Price's (2012, J. Educ. Behav. Stat. 37, 479): Wald's after one disagreement more on each
    side, so that it keeps a width when the cells (nearly) agree.
    """
    from scipy.stats import norm

    value = (only_second - only_first) / n
    a, b = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = float(norm.ppf((1 + CONFIDENCE) / 2)) * math.sqrt((a + b - (b - a) ** 2) / (n + 2))
    return Difference(
        value=value,
        stderr=math.sqrt((only_first + only_second) / n - value**2) / math.sqrt(n),
        low=max(b - a - half, -1.0),
        high=min(b - a + half, 1.0),
    )


def compare_likelihoods(
    first: NDArray[np.float32], second: NDArray[np.float32], n_tokens: NDArray[np.int64]
) -> LikelihoodTest | None:
    """first, second: f32 [items], nats; n_tokens: i64 [items], tokens scored. None if no item is finite in both."""
    finite = np.isfinite(first) & np.isfinite(second)
    if not finite.any():
        return None
    a, b, tokens = first[finite].astype(np.float64), second[finite].astype(np.float64), n_tokens[finite]
    t, p_value = paired_t(a, b)
    return LikelihoodTest(
        n_items=len(a),
        n_left_out=int(np.sum(~finite)),
        n_tokens=int(tokens.sum()),
        first=float(a.sum() / tokens.sum()),
        second=float(b.sum() / tokens.sum()),
        per_item=difference_of_ratios(b - a, np.ones(len(a))),
        per_token=difference_of_ratios(b - a, tokens),
        t=t,
        p_value=p_value,
    )


def paired_t(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """t and its two-sided p value; without spread, t is 0 or infinite."""
    from scipy.stats import ttest_rel

    if len(first) < 2:
        return None, None
    differences = second - first
    if np.ptp(differences) == 0:
        return (0.0, 1.0) if differences[0] == 0 else (math.copysign(math.inf, differences[0]), 0.0)
    found = ttest_rel(second, first)
    return float(found.statistic), float(found.pvalue)


def difference_of_ratios(differences: NDArray[np.float64], sizes: NDArray) -> Difference:
    """Sum of differences over sum of sizes (items, or tokens), both [items], with the t interval of its standard error.

    The delta method for a ratio of sums (Cochran, Sampling Techniques, 3rd ed., 2.11); of equal sizes that is the
    standard error of a mean.
    """
    from scipy.stats import t

    n, total = len(differences), float(sizes.sum())
    value = float(differences.sum()) / total
    if n < 2:
        return Difference(value, None, None, None)
    stderr = float((differences - value * sizes).std(ddof=1)) * math.sqrt(n) / total
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * stderr
    return Difference(value, stderr, value - half, value + half)
