"""Delete-one-model jackknife: intervals that hold when models share an effect.

Classic intervals count every point as independent; leaving out one model at a time measures what another model would
have changed.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats

from kbit.scaling.curves import Array
from kbit.scaling.fit_rows import LEVEL


@cache  # a study asks thousands of times for a dozen degrees of freedom
def t_quantile(freedom: int) -> float:
    """How many standard errors an interval of `LEVEL` reaches to either side."""
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def jackknife_interval(estimate: Array, replicates: Sequence[Array], *, n_fitted: int = 1) -> tuple[Array, Array]:
    """t intervals f64 [parameters] around `estimate`, from the estimates without each of the n models.

    se^2 = (n - 1)/n * sum (replicate - mean of replicates)^2, with n - n_fitted degrees of freedom (one at least): a
    mean over models takes one of them, a line through them two.
    """
    deleted = np.stack(replicates)
    n = len(deleted)
    se = np.sqrt((n - 1) / n * ((deleted - deleted.mean(axis=0)) ** 2).sum(axis=0))
    reach = t_quantile(max(n - n_fitted, 1)) * se
    return estimate - reach, estimate + reach
