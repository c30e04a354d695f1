"""H5: perplexity and zero-shot accuracy are strongly correlated, r = -0.94 in the paper."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from scipy import stats

from kbit.scaling.claims.claim import Claim, Finding, Subject, Tables, missing
from kbit.scaling.curves import Array
from kbit.scaling.fit_rows import ALL
from kbit.scaling.jackknife import jackknife_interval
from kbit.scaling.metrics import ACCURACY, LOSS

STATISTIC = "Pearson correlation of log-perplexity per byte and mean zero-shot accuracy"
LIMIT = -0.9
MIN_MODELS = 4


def test(tables: Tables) -> Iterator[Finding]:
    """All families together, then each."""
    points = tables.evidence.points.filter(pl.col(LOSS.name).is_finite() & pl.col(ACCURACY.name).is_finite())
    families = tables.evidence.points["family"].unique().sort().to_list()
    yield find(Subject(ALL, ACCURACY.name), points)
    if len(families) > 1:
        for family in families:
            yield find(Subject(family, ACCURACY.name), points.filter(pl.col("family") == family))


def find(subject: Subject, points: pl.DataFrame) -> Finding:
    models = points["model"].unique().sort().to_list()
    if len(models) < MIN_MODELS:
        what = f"{MIN_MODELS} models with both metrics, has {len(models)}"
        return missing(subject, STATISTIC, what, points.height)
    whole = fisher(points)
    low, high = np.tanh(
        jackknife_interval(whole, [fisher(points.filter(pl.col("model") != model)) for model in models])
    ).ravel()
    status = "supported" if high < LIMIT else "refuted" if low > LIMIT else "undetermined"
    return Finding(
        subject,
        STATISTIC,
        status,
        float(np.tanh(whole[0])),
        float(low),
        float(high),
        expected=f"< {LIMIT:g}",
        n=points.height,
        method="delete-one-model jackknife of Fisher's z, t interval",
        missing=f"more models: the interval contains {LIMIT:g}" if status == "undetermined" else "",
        note=f"{len(models)} models; the paper's r is -0.94 over 35,000 experiments",
    )


def fisher(points: pl.DataFrame) -> Array:
    """Fisher's z of the correlation, f64 [1]; NaN where a metric is constant."""
    loss, accuracy = (points[metric.name].to_numpy() for metric in (LOSS, ACCURACY))
    if len(loss) < 3 or np.ptp(loss) == 0 or np.ptp(accuracy) == 0:
        return np.array([np.nan])
    return np.arctanh(np.clip([stats.pearsonr(loss, accuracy).statistic], -1 + 1e-12, 1 - 1e-12))


CLAIM = Claim(
    "H5",
    "Perplexity and zero-shot accuracy tell the same",
    "Over all points that have both, the correlation of log-perplexity per byte and mean zero-shot accuracy is "
    f"below {LIMIT:g}.",
    "section 4, appendix C.5",
    test,
)
