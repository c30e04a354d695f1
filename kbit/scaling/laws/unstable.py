"""unstable: points that are not what the rest of the study suggests. They are listed, never left out.

Rules, each a quantity `rule[model]` of the point's spec; `n_rule` counts what each found, also nothing:

* `collapsed`: not finite, or no better than a model that knows nothing; the value is the loss, if it has one;
* `huber_weight`: the robust linear model (`linear_robust`) gives it less than half of its weight;
* `studentised_residual`: it lies more than 4 robust scales off that model;
* `non_monotone`: it has more bits than the point beside it (same model, data type, block, options) and is worse by more
  than 3 standard errors of their paired difference; the value is that difference in standard errors;
* `at_chance`: its accuracy lies within 2 standard errors of chance, that of the 16-bit model does not.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import polars as pl

from kbit.scaling.evidence import Evidence, FamilyPoints
from kbit.scaling.exclusions import EXCLUSIONS
from kbit.scaling.fit_rows import ALL, FitRow, Subject
from kbit.scaling.metrics import ACCURACY, LOSS, Metric
from kbit.scaling.regression import FACTORS, regressions
from kbit.scaling.robust import fit_robust
from kbit.scaling.selections import CONTROL

NAME = "unstable"
RULES = {
    "collapsed": "loss not finite or at least that of a uniform guess",
    "huber_weight": "weight below 1/2 in the robust linear model",
    "studentised_residual": "more than 4 robust scales off the robust linear model",
    "non_monotone": "worse than with fewer bits by more than 3 paired standard errors",
    "at_chance": "within 2 standard errors of chance, unlike the 16-bit model",
}
LEAST_WEIGHT = 0.5
MOST_SCALES = 4.0
MOST_ERRORS = 3.0
CHANCE_ERRORS = 2.0
SAME_CURVE = ("model", "data_type", "block_size", "options")


def find_unstable(evidence: Evidence) -> Iterator[FitRow]:
    """A row for every flagged point and rule, and the counts of every rule."""
    rows = [*collapsed(evidence), *odd(evidence), *non_monotone(evidence), *at_chance(evidence)]
    yield from rows
    found = Counter(row.quantity.partition("[")[0] for row in rows)
    everything = Subject(NAME, ALL, ALL, ALL, "", ALL, ALL, ALL)
    for rule, method in RULES.items():
        yield FitRow(everything, f"n_{rule}", evidence.points.height, method, float(found[rule]))


def flag(rule: str, metric: Metric, point: dict[str, object], value: float | None, note: str = "") -> FitRow:
    """The row of one point, `point` by the columns of the table points."""
    subject = Subject(
        NAME, point["family"], metric.task_set, metric.name, "", point["data_type"], point["block_size"] or "",
        point["options"], point["spec"], point["bits"],
    )  # fmt: skip
    return FitRow(subject, f"{rule}[{point['model']}]", 1, RULES[rule], value, note=note)


def collapsed(evidence: Evidence) -> Iterator[FitRow]:
    if LOSS not in evidence.metrics:
        return
    is_so = (pl.col("status") == "collapsed") | ~EXCLUSIONS.rule(LOSS) & pl.col(LOSS.name).is_not_null()
    for point in evidence.points.filter(is_so).iter_rows(named=True):
        yield flag("collapsed", LOSS, point, point[LOSS.name], f"status {point['status']}")


def odd(evidence: Evidence) -> Iterator[FitRow]:
    """What the robust linear models hold to be odd."""
    for regression in regressions(evidence):
        if regression.design is None:
            continue
        robust = fit_robust(evidence, regression)
        rows = regression.rows.select("model", "spec", "response", *FACTORS).with_columns(
            weight=robust.weights, scales=robust.residuals
        )
        joined = rows.drop("family", "data_type").join(evidence.points, on=["model", "spec"], maintain_order="left")
        for point in joined.filter(pl.col("weight") < LEAST_WEIGHT).iter_rows(named=True):
            note = f"{point['scales']:+.1f} scales"
            yield flag("huber_weight", regression.metric, point, point["weight"], note)
            if abs(point["scales"]) > MOST_SCALES:
                yield flag("studentised_residual", regression.metric, point, point["scales"])


def non_monotone(evidence: Evidence) -> Iterator[FitRow]:
    """More bits, worse score, beyond the error of the pair."""
    for metric in evidence.metrics:
        for family in evidence.families(metric):
            yield from falling_pairs(family)


def falling_pairs(family: FamilyPoints) -> Iterator[FitRow]:
    """Neighbouring k of one curve; the best exponent width stands for a k."""
    heights = family.heights
    points = family.points.with_row_index("row").with_columns(height=pl.Series(heights[:, 0]))
    points = points.filter((pl.col("data_type") != CONTROL) & pl.col("height").is_not_nan())
    best = points.sort("height", descending=True).unique([*SAME_CURVE, "bits"], keep="first", maintain_order=True)
    ordered = best.sort(*SAME_CURVE, "bits", nulls_last=True)
    below = pl.col("row", "spec", "bits").shift(1).over(SAME_CURVE).name.prefix("lower_")
    pairs = ordered.with_columns(below).filter(pl.col("lower_row").is_not_null())
    upper, lower = (pairs[name].to_numpy().astype(np.intp) for name in ("row", "lower_row"))
    drop = heights[lower, 0] - heights[upper, 0]
    # Only what fell can be flagged, and only its resamples are looked at.
    for index in np.flatnonzero(drop > 0):
        error = float(np.std(heights[lower[index], 1:] - heights[upper[index], 1:], ddof=1))
        if error > 0 and drop[index] > MOST_ERRORS * error:
            point = pairs.row(int(index), named=True)
            note = f"worse than {point['lower_spec']} by {drop[index]:.4g}"
            yield flag("non_monotone", family.metric, point, float(drop[index] / error), note)


def at_chance(evidence: Evidence) -> Iterator[FitRow]:
    """Accuracies that are a guess, where the 16-bit model's is not."""
    if ACCURACY not in evidence.metrics:
        return
    above = (pl.col(ACCURACY.name) - pl.col("mean_chance")) / pl.col(f"{ACCURACY.name}_stderr")
    points = evidence.points.with_columns(above=above)
    control = points.filter(pl.col("data_type") == CONTROL).select("model", control_above="above")
    joined = points.filter(pl.col("data_type") != CONTROL).join(control, on="model", maintain_order="left")
    guesses = (pl.col("above") < CHANCE_ERRORS) & (pl.col("control_above") >= CHANCE_ERRORS)
    for point in joined.filter(guesses).iter_rows(named=True):
        yield flag("at_chance", ACCURACY, point, point["above"], "standard errors above chance")
