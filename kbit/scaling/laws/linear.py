"""linear: ordinary least squares of log-perplexity and chance-corrected accuracy of all families (see `regression`).

Standard errors: cluster-crv3 by model (a cluster jackknife), since the cells of one model share its quirks; t with
models - 1 degrees of freedom.
"""

from collections.abc import Iterator

from statsmodels.regression.linear_model import OLS

from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import LEVEL, FitRow
from kbit.scaling.regression import coefficient_rows, regressions, single_row

NAME = "linear"
METHOD = "OLS, cluster-crv3 by model, t interval"


def fit_linear(evidence: Evidence) -> Iterator[FitRow]:
    """Coefficients with intervals, and R squared; one `undetermined` row where there are too few models."""
    for regression in regressions(evidence):
        design = regression.design
        if design is None:
            yield regression.undetermined(NAME, METHOD)
            continue
        try:
            fit = OLS(design.y, design.X).fit(cov_type="cluster-crv3", cov_kwds={"groups": design.groups}, use_t=True)
        except ValueError as error:
            yield regression.undetermined(NAME, METHOD, f"not identified without one model: {error}")
            continue
        yield from coefficient_rows(regression, NAME, METHOD, fit.params, fit.conf_int(1 - LEVEL))
        yield single_row(regression, NAME, "r_squared", METHOD, float(fit.rsquared))
