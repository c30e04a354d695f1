"""verdict: at a fixed number of bits, which k is best, over what share of the range, and how sure is that?

The paper's method with numbers instead of a glance (paper, section 4; the definitions are ours): in every family the
metric is interpolated linearly in log2 bits, one curve per k, and compared on 201 points of the range that all curves
cover. Quantities, per family, metric, count of bits and selection of specs:

* `best_bits`: the k that is best on the largest share of the range; its interval is that of the resamples' best k;
* `range_low`, `range_high`: the common range, log2 bits;
* `gap_to_runner_up`: mean distance of the best k's curve to that of the k with the next highest mean (see the note);
  negative where the best k wins more of the range but by less;
* `gap_over_models`: the gap of these two over the range which they cover, with a delete-one-model jackknife interval:
  what other models might have given, where the bootstrap says what other items might have;
* `equivalent_gap_to_runner_up`: the same gap in doublings of bits, at the mean slope of the two curves over the range:
  log2 of how many times the bits the runner-up would need to come level;
* `winner_stability`: the share of models without which the best k stays the same; the note lists the others;
* `decided`: 1 where the best k wins 95 % of the resamples of items and its gap over models lies above 0; otherwise
  `undetermined`, with what is missing, and `items_needed` and `models_needed` where a number of them would decide;
* for each k: `share` of the range on which it is best; `win_rate`, the share of resamples in which it is `best_bits`;
  `gap_to_best`, its mean distance to the best k's curve (<= 0 as a rule), and `equivalent_gap`, that in doublings of
  bits; `parallelism`, the standard deviation of
  that distance along the range over its mean (0: parallel); `gap_to_next_lower`, its mean distance to the next smaller
  k over the range which those two cover.

Distances are in the metric's unit and positive where better, whichever direction the metric has.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from kbit.scaling import decision
from kbit.scaling.curves import Array, Curve, common_range, make_curve
from kbit.scaling.evidence import Evidence, FamilyPoints
from kbit.scaling.fit_rows import LEVEL, FitRow, Subject, undetermined
from kbit.scaling.frontier import Frontier, build_frontier, mean_heights
from kbit.scaling.jackknife import jackknife_interval
from kbit.scaling.metrics import BIT_ACCOUNTINGS
from kbit.scaling.selections import Selection, list_selections
from kbit.scaling.stability import winners_without

NAME = "verdict"
METHOD = "linear interpolation in log2 bits"
BOOTSTRAP = f"{METHOD}; {{}}"
LEFT_OUT = f"{METHOD}; each model left out in turn"
JACKKNIFE = f"{METHOD}; delete-one-model jackknife, t interval"
MIN_JACKKNIFE_SIZES = 4
"""Each curve must keep three sizes when one is left out."""


def fit_verdicts(evidence: Evidence) -> Iterator[FitRow]:
    """The verdict of every family, metric, count of bits and selection."""
    for metric in evidence.metrics:
        for family in evidence.families(metric):
            selections = {one: set(one.of(family.points)["spec"]) for one in list_selections(family.points)}
            for bit_accounting in BIT_ACCOUNTINGS:
                curves = draw_curves(family, bit_accounting)
                for selection, specs in selections.items():
                    chosen = [curve for curve in curves if curve.label in specs]
                    yield from fit_verdict(family, bit_accounting, selection, chosen)


def fit_verdict(
    family: FamilyPoints, bit_accounting: str, selection: Selection, curves: Sequence[Curve]
) -> Iterator[FitRow]:
    """The rows of one verdict; one `undetermined` row that says what is missing where there is none."""
    subject = Subject(
        NAME,
        family.family,
        family.metric.task_set,
        family.metric.name,
        bit_accounting,
        selection.data_type,
        selection.block_size,
        selection.options,
    )
    n = sum(len(curve.x) for curve in curves)
    if missing := what_is_missing(curves, family):
        yield undetermined(subject, "best_bits", n, METHOD, missing)
        return
    notes = list(family.resampled.notes)
    if any(np.isnan(curve.y).any() for curve in curves):
        curves = [replace(curve, y=curve.y[:, :1]) for curve in curves]
        notes.append("no interval: some cell has neither samples nor a standard error")
    rows = list(describe_verdict(subject, curves, n, BOOTSTRAP.format(family.resampled.method), notes))
    yield from rows
    yield from describe_decision(subject, rows, n, family.resampled.n_items, curves)


def draw_curves(family: FamilyPoints, bit_accounting: str) -> list[Curve]:
    """One curve per spec that has the metric at two sizes or more, by k and spec."""
    has_value = ~np.isnan(family.heights[:, 0])
    points = family.points.with_row_index("row").filter(has_value)
    curves = []
    for (bits, spec), group in points.group_by("bits", "spec", maintain_order=True):
        log2_bits = np.log2(group[bit_accounting].to_numpy().astype(float))
        if len(np.unique(log2_bits)) >= 2:
            parameters = group["parameters"].to_numpy().astype(float)
            curves.append(make_curve(bits, spec, log2_bits, family.heights[group["row"].to_numpy()], parameters))
    return sorted(curves, key=lambda curve: (curve.bits, curve.label))


def what_is_missing(curves: Sequence[Curve], family: FamilyPoints) -> str | None:
    """Why no verdict can be given, or None if it can."""
    if len({curve.bits for curve in curves}) < 2:
        sizes = family.points["parameters"].n_unique()
        return f"needs two k with scores at two sizes or more; the family has {sizes} size{'s' if sizes != 1 else ''}"
    low, high = common_range(curves)
    if low >= high:
        return f"the curves share no range of bits: one ends at 2^{high:.2f}, another begins at 2^{low:.2f}"
    return None


def describe_verdict(
    subject: Subject, curves: Sequence[Curve], n: int, bootstrap: str, notes: Sequence[str]
) -> Iterator[FitRow]:
    """Every quantity of a verdict; `bootstrap` is the method of those with an interval."""
    frontier = build_frontier(curves)
    best = int(frontier.best[0])
    runner_up = frontier.runner_up(best)
    ks = np.array(frontier.ks)
    note = "; ".join(notes)

    def row(quantity: str, resamples: Array, k: int | None = None, extra: str = "") -> FitRow:
        """A row from [resamples], whose column 0 is the value on all items."""
        low, high = percentile_interval(resamples)
        method = bootstrap if low is not None else METHOD
        told = "; ".join(text for text in (extra, note) if text)
        return FitRow(subject, quantity, n, method, float(resamples[0]), low, high, note=told, bits=k)

    yield row("best_bits", ks[frontier.best].astype(float), extra=specs_note(curves))
    for quantity, value in zip(("range_low", "range_high"), frontier.grid[[0, -1]], strict=True):
        yield FitRow(subject, quantity, n, METHOD, float(value))
    mean = frontier.mean
    yield row("gap_to_runner_up", mean[best] - mean[runner_up], extra=f"runner-up: {ks[runner_up]} bits")
    yield equivalent(row("equivalent_gap_to_runner_up", frontier.equivalent_gap(best, runner_up)))
    yield jackknife_gap(subject, [curve for curve in curves if curve.bits in ks[[best, runner_up]]], ks[best], n)
    yield describe_stability(subject, curves, int(ks[best]), n)
    for index, k in enumerate(frontier.ks):
        yield row("share", frontier.share[index], k)
        yield from describe_wins(subject, frontier, index, n, bootstrap)
        if index != best:
            yield row("gap_to_best", mean[index] - mean[best], k, f"best: {ks[best]} bits")
            yield equivalent(row("equivalent_gap", frontier.equivalent_gap(index, best), k, f"best: {ks[best]} bits"))
            yield row("parallelism", parallelism(frontier.gap(index, best)), k, f"against {ks[best]} bits")
    for lower, k in zip(frontier.ks, frontier.ks[1:], strict=False):
        pair = [curve for curve in curves if curve.bits in (lower, k)]
        below, above = mean_heights(pair)
        yield row("gap_to_next_lower", above - below, k, f"against {lower} bits")


def describe_wins(subject: Subject, frontier: Frontier, index: int, n: int, method: str) -> Iterator[FitRow]:
    """How often a k is the best one among the resamples; nothing without resamples."""
    resampled = frontier.best[1:]
    if len(resampled):
        yield FitRow(subject, "win_rate", n, method, float(np.mean(resampled == index)), bits=frontier.ks[index])


def equivalent(row: FitRow) -> FitRow:
    """A gap in doublings of bits; undetermined where more bits are no better."""
    if not math.isnan(row.value):
        return row
    return replace(row, value=None, status="undetermined", note="over this range the curves do not rise with the bits")


def describe_stability(subject: Subject, curves: Sequence[Curve], best: int, n: int) -> FitRow:
    """The share of models without which the winner stays."""
    quantity, winners = "winner_stability", winners_without(curves)
    if not winners:
        return undetermined(subject, quantity, n, LEFT_OUT, "without any one of the models the curves share no range")
    others = [f"{k} bits without {size:,.0f} parameters" for size, k in winners.items() if k != best]
    value = 1 - len(others) / len(winners)
    told = "; ".join([f"{len(winners)} models left out in turn", *others])
    return FitRow(subject, quantity, n, LEFT_OUT, value, note=told)


def describe_decision(
    subject: Subject, rows: Sequence[FitRow], n: int, n_items: int, curves: Sequence[Curve]
) -> Iterator[FitRow]:
    """Whether items and models decide the verdict of `rows`, and how many would."""
    found = {(row.quantity, row.bits): row for row in rows}
    win_rate = found.get(("win_rate", int(found["best_bits", None].value)))
    gap = found["gap_over_models", None]
    sizes = len({size for curve in curves for size in curve.parameters})
    lacking = [] if win_rate else ["items: no resamples"]
    lacking += [] if gap.status == "ok" else [f"models: {gap.note}"]
    supports = {
        "items_needed": decision.by_items(win_rate.value, n_items) if win_rate else None,
        "models_needed": decision.by_models(gap.value, gap.low, gap.high, sizes) if gap.status == "ok" else None,
    }
    told = "; ".join([*lacking, *(support.note for support in supports.values() if support)])
    method = f"items: at least {LEVEL:.0%} of resamples; models: jackknife interval of the gap above 0"
    if not lacking and all(support.is_decided for support in supports.values()):
        yield FitRow(subject, "decided", n, method, 1.0, note=told)
    else:
        yield undetermined(subject, "decided", n, method, told)
    for quantity, support in supports.items():
        if support and support.needed:
            yield FitRow(subject, quantity, n, method, float(support.needed), note=support.note)


def jackknife_gap(subject: Subject, pair: Sequence[Curve], best: int, n: int) -> FitRow:
    """The gap between the best k and the runner-up over the range that these two cover, by models."""
    quantity, sizes = "gap_over_models", np.unique(np.concatenate([curve.parameters for curve in pair]))
    if len(sizes) < MIN_JACKKNIFE_SIZES:
        needed = f"needs {MIN_JACKKNIFE_SIZES} sizes to leave one out, has {len(sizes)}"
        return undetermined(subject, quantity, n, JACKKNIFE, needed)
    deleted = [[curve.without(size) for curve in pair] for size in sizes]
    for curves in deleted:
        low, high = common_range(curves)
        if low >= high:
            return undetermined(subject, quantity, n, JACKKNIFE, "without one of the models the curves share no range")
    gap, *others = [np.array([mean_gap(curves, best)]) for curves in [pair, *deleted]]
    low, high = jackknife_interval(gap, others)
    return FitRow(subject, quantity, n, JACKKNIFE, float(gap[0]), float(low[0]), float(high[0]))


def mean_gap(pair: Sequence[Curve], best: int) -> float:
    """Mean distance of the best k's curve to the other's, in the full sample."""
    lower, higher = mean_heights([replace(curve, y=curve.y[:, :1]) for curve in pair])[:, 0]
    return float(lower - higher if best < max(curve.bits for curve in pair) else higher - lower)


def parallelism(distance: Array) -> Array:
    """Standard deviation along the range over the absolute mean, [grid, resamples] -> [resamples]; NaN at mean 0."""
    mean = distance.mean(axis=0)
    apart = distance - mean
    spread = np.sqrt(np.einsum("gr,gr->r", apart, apart) / len(apart))
    return np.divide(spread, np.abs(mean), out=np.full_like(mean, np.nan), where=mean != 0)


def percentile_interval(resamples: Array) -> tuple[float | None, float | None]:
    """The central interval of the resamples (column 0, the value itself, left out), as values that occurred."""
    if len(resamples) < 2 or np.isnan(resamples).any():
        return None, None
    n, tail = len(resamples) - 1, (1 - LEVEL) / 2
    # The smallest value that at least this share of them do not exceed; rounded: 0.025 is a little more in floats.
    ranks = [math.ceil(round(share * n, 6)) - 1 for share in (tail, 1 - tail)]
    low, high = np.partition(resamples[1:], ranks)[ranks]
    return float(low), float(high)


def specs_note(curves: Sequence[Curve]) -> str:
    """Which k had a choice of specs: more candidates also mean more chances."""
    counts = {curve.bits: sum(other.bits == curve.bits for other in curves) for curve in curves}
    choices = [f"{count} at {k} bits" for k, count in counts.items() if count > 1]
    return f"best of several specs: {', '.join(choices)}" if choices else ""
