"""linear_robust: the twin of `linear` that odd cells cannot move far, least Huber loss (statsmodels' RLM).

Where the two differ, some cells are not what the others of their model and spec would suggest: `unstable` lists them.
Intervals: cluster-crv3 by model of the weighted least squares, Huber's final weights held fixed; t with models - 1
degrees of freedom. `downweighted` is the share of cells with a weight below 1/2.
"""

from collections.abc import Iterator

import numpy as np
from statsmodels.regression.linear_model import WLS

from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import LEVEL, FitRow
from kbit.scaling.regression import coefficient_rows, regressions, single_row
from kbit.scaling.robust import fit_robust

NAME = "linear_robust"
METHOD = "RLM, Huber t = 1.345; cluster-crv3 by model at its weights, t interval"
HALF = 0.5


def fit_linear_robust(evidence: Evidence) -> Iterator[FitRow]:
    """Coefficients with intervals; one `undetermined` row where there are too few models."""
    for regression in regressions(evidence):
        design = regression.design
        if design is None:
            yield regression.undetermined(NAME, METHOD)
            continue
        robust = fit_robust(evidence, regression)
        try:
            model = WLS(design.y, design.X, weights=robust.weights)
            fit = model.fit(cov_type="cluster-crv3", cov_kwds={"groups": design.groups}, use_t=True)
        except ValueError as error:
            yield regression.undetermined(NAME, METHOD, f"not identified without one model: {error}")
            continue
        yield from coefficient_rows(regression, NAME, METHOD, fit.params, fit.conf_int(1 - LEVEL))
        yield single_row(regression, NAME, "scale", METHOD, robust.scale)
        yield single_row(regression, NAME, "downweighted", METHOD, float(np.mean(robust.weights < HALF)))
