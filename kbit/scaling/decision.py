"""Is a verdict decided, and if not, how many items or models would decide it?"""

import math
from dataclasses import dataclass

from scipy import stats

from kbit.scaling.fit_rows import LEVEL
from kbit.scaling.jackknife import t_quantile

MANY = 1000
"""Times as many items or models: beyond that no number is named."""


@dataclass(frozen=True, slots=True)
class Support:
    """What one source of chance, items or models, says of a verdict."""

    is_decided: bool
    needed: int | None
    """How many would decide it; None where it is decided, or no number up to MANY times as many would."""
    note: str


def by_items(win_rate: float, n_items: int) -> Support:
    """The best k must win at least LEVEL of the resamples.

    Its margin is about normal over resamples and its error falls with the root of the number of items.
    """
    if win_rate >= LEVEL:
        return Support(True, None, f"items: wins {win_rate:.0%} of resamples")
    told = f"items: wins {win_rate:.0%} of resamples, {LEVEL:.0%} would decide"
    z = float(stats.norm.ppf(win_rate))
    if z <= 0 or (ratio := (stats.norm.ppf(LEVEL) / z) ** 2) > MANY:
        return Support(False, None, f"{told}; more items would not")
    needed = max(n_items + 1, math.ceil(n_items * ratio))
    return Support(False, needed, f"{told}; about {needed:,} items instead of {n_items:,} would, if the margin stays")


def by_models(gap: float, low: float, high: float, n_models: int) -> Support:
    """The jackknife interval of the gap, t with models - 1 degrees of freedom, must lie above 0.

    Its standard error falls with the root of the number of models.
    """
    if low > 0:
        return Support(True, None, f"models: the gap over {n_models} sizes lies above 0")
    told = f"models: the gap over {n_models} sizes may be 0"
    se = (high - gap) / t_quantile(n_models - 1)
    if gap <= 0:
        return Support(False, None, f"{told}; more like them would not decide")
    # As if the degrees of freedom were infinite: a lower bound from which to count up.
    first = max(n_models + 1, math.ceil(n_models * (stats.norm.ppf((1 + LEVEL) / 2) * se / gap) ** 2))
    for n in range(first, min(MANY * n_models, first + 20)):
        if t_quantile(n - 1) * se * math.sqrt(n_models / n) < gap:
            return Support(False, n, f"{told}; about {n} sizes would decide, if the gap stays")
    return Support(False, None, f"{told}; more like them would not decide")
