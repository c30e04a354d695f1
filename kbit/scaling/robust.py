"""The robust twin of the linear model: Huber's weights, found once for the law and for the list of unstable cells."""

from dataclasses import dataclass

import numpy as np
from statsmodels.robust.norms import HuberT
from statsmodels.robust.robust_linear_model import RLM

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.regression import Design, Regression

MAX_STEPS = 100
TOLERANCE = 1e-6
"""Change of the deviance, over itself, at which the reweighting ends."""


@dataclass(frozen=True)
class RobustFit:
    """A regression by statsmodels' RLM with Huber's norm (t = 1.345), scale by the median absolute deviation."""

    weights: Array
    """f64 [cells]: 1 for what lies within 1.345 scales, less beyond."""
    residuals: Array
    """f64 [cells], in scales."""
    scale: float


def fit_robust(evidence: Evidence, regression: Regression) -> RobustFit:
    """The weights of a regression with a design, made once for all who ask."""
    key = ("robust", regression.metric.name)
    return evidence.once(key, lambda: reweight(regression.design))


def reweight(design: Design) -> RobustFit:
    # Orthonormal columns: the same fitted values, from matrices whose least squares are a product.
    orthonormal, _ = np.linalg.qr(design.X)
    fit = RLM(design.y, orthonormal, M=HuberT()).fit(maxiter=MAX_STEPS, tol=TOLERANCE)
    scale = float(fit.scale)
    residuals = np.divide(fit.resid, scale, out=np.zeros_like(fit.resid), where=scale > 0)
    return RobustFit(np.asarray(fit.weights), residuals, scale)
