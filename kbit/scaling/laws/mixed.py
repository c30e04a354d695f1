"""mixed: the linear model with an intercept of its own for every model (statsmodels' MixedLM, REML).

Cells of one model share its training run: `model_sd` is how far such runs lie apart, `residual_sd` how far cells lie
from their run, `shared_variance` the first variance over the sum. Intervals: t. What differs between models (size,
family) has as many degrees of freedom as models exceed its coefficients, what differs within them those of the cells.
The random intercept knows no model that suffers more from few bits than others: `linear` allows for that.
"""

import warnings
from collections.abc import Iterator

import numpy as np
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMResults
from statsmodels.tools.sm_exceptions import ModelWarning

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import LEVEL, FitRow
from kbit.scaling.regression import Design, Regression, coefficient_rows, regressions, single_row

NAME = "mixed"
METHOD = "MixedLM, REML, random intercept per model; t interval"


def fit_mixed(evidence: Evidence) -> Iterator[FitRow]:
    """Coefficients with intervals and the two spreads; one `undetermined` row where it cannot be fitted."""
    for regression in regressions(evidence):
        design = regression.design
        if design is None:
            yield regression.undetermined(NAME, METHOD)
            continue
        freedom = degrees_of_freedom(design)
        if freedom.min() < 1:
            yield regression.undetermined(NAME, METHOD, "as many coefficients of size and family as models")
            continue
        try:
            fit, errors, note = fit_quietly(design)
        except (np.linalg.LinAlgError, ValueError) as error:
            yield regression.undetermined(NAME, METHOD, f"statsmodels gave up: {error}")
            continue
        if not np.isfinite(errors).all():
            yield regression.undetermined(NAME, METHOD, "no standard errors: models or cells differ too little")
            continue
        yield from describe(regression, fit, stats.t.ppf((1 + LEVEL) / 2, freedom) * errors, note)


def fit_quietly(design: Design) -> tuple[MixedLMResults, Array, str]:
    """The fit, standard errors f64 [coefficients], and statsmodels' warnings in words.

    A variance at its bound of 0 is an answer, not a fault; without any spread there are no errors: NaN.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = MixedLM(design.y, design.X, groups=design.groups).fit(reml=True)
        errors = np.asarray(fit.bse_fe)
    told = {str(warning.message) for warning in caught if issubclass(warning.category, (ModelWarning, UserWarning))}
    if not fit.converged:
        told.add("did not converge")
    return fit, errors, "; ".join(sorted(told))


def degrees_of_freedom(design: Design) -> Array:
    """f64 [coefficients]"""
    first = np.array([np.flatnonzero(design.groups == model)[0] for model in range(design.n_models)])
    is_of_models = (design.X[first][design.groups] == design.X).all(axis=0)
    between = design.n_models - is_of_models.sum()
    within = len(design.y) - design.n_models - (~is_of_models).sum()
    return np.where(is_of_models, between, within).astype(float)


def describe(regression: Regression, fit: MixedLMResults, reach: Array, note: str) -> Iterator[FitRow]:
    """The rows of a fit; the intervals reach so far to both sides, f64 [coefficients]."""
    intervals = np.column_stack([fit.fe_params - reach, fit.fe_params + reach])
    yield from coefficient_rows(regression, NAME, METHOD, fit.fe_params, intervals, note)
    of_models, of_cells = float(fit.cov_re[0, 0]), float(fit.scale)
    for quantity, value in {
        "model_sd": np.sqrt(of_models),
        "residual_sd": np.sqrt(of_cells),
        "shared_variance": of_models / (of_models + of_cells),
        "converged": float(fit.converged),
    }.items():
        yield single_row(regression, NAME, quantity, METHOD, float(value), note)
