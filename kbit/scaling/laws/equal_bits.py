"""equal_bits: at equal total bits, how much better or worse is a method than plain 4-bit integers?

Methods store different numbers of bits, so the loss that each adds to a model does not rank them. In every family the
curve of each spec, interpolated linearly in log2 bits as for the verdict, is compared with that of the reference:
symmetric integers of 4 bits in blocks of 64, rounded to nearest. Quantities, per family, metric, count of bits, spec:

* `difference`: the metric minus the reference's, in its own unit (of a loss, below 0 is better), mean over the range of
  bits that the reference and all compared specs of this k cover; its interval is that of the resamples;
* `difference_over_models`: the same of these two curves alone, over the range that they cover, with a
  delete-one-model jackknife interval.

Compared are the specs with the reference's block size, or with the only one that their data type has: block sizes have
laws of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from kbit.scaling.curves import Array, Curve, common_range, grid_over
from kbit.scaling.evidence import Evidence, FamilyPoints
from kbit.scaling.fit_rows import FitRow, Subject, undetermined
from kbit.scaling.jackknife import jackknife_interval
from kbit.scaling.laws.verdict import (
    BOOTSTRAP,
    JACKKNIFE,
    METHOD,
    MIN_JACKKNIFE_SIZES,
    draw_curves,
    percentile_interval,
)
from kbit.scaling.metrics import BIT_ACCOUNTINGS
from kbit.spec import members
from kbit.spec.quant import QuantSpec

NAME = "equal_bits"
REFERENCE = QuantSpec(data_type="int", bits=4, block_size=64)


def fit_equal_bits(evidence: Evidence) -> Iterator[FitRow]:
    """The rows of every family that has the reference; a study without it asks another question."""
    for metric in evidence.metrics:
        for family in evidence.families(metric):
            if REFERENCE.slug not in family.points["spec"]:
                continue
            for bit_accounting in BIT_ACCOUNTINGS:
                yield from compare_family(family, bit_accounting)


def compare_family(family: FamilyPoints, bit_accounting: str) -> Iterator[FitRow]:
    """Every compared spec of one family against the reference, k by k."""
    curves = {curve.label: curve for curve in draw_curves(family, bit_accounting)}
    compared = compared_specs(family.points)
    for (bits,), of_k in compared.group_by("bits", maintain_order=True):
        specs = list(of_k.iter_rows(named=True))
        with_curve = [curves[spec["spec"]] for spec in specs if spec["spec"] in curves]
        reference = curves.get(REFERENCE.slug)
        ends = common_range([reference, *with_curve]) if reference else (0.0, 0.0)
        for spec in specs:
            described = (spec["data_type"], spec["block_size"], spec["options"], spec["spec"], bits)
            subject = Subject(
                NAME, family.family, family.metric.task_set, family.metric.name, bit_accounting, *described
            )
            yield from compare_spec(subject, family, reference, curves.get(spec["spec"]), ends)


def compared_specs(points: pl.DataFrame) -> pl.DataFrame:
    """The specs of the reference's block size, and of data types that have one of their own, by k and name."""
    own = [name for name, member in members.DATA_TYPES.items() if member.block_sizes]
    is_compared = (pl.col("block_size") == str(REFERENCE.block_size)) | pl.col("data_type").is_in(own)
    return (
        points.filter(is_compared)
        .select("bits", "spec", "data_type", "block_size", "options")
        .unique()
        .sort("bits", "spec")
    )


def compare_spec(
    subject: Subject, family: FamilyPoints, reference: Curve | None, curve: Curve | None, ends: tuple[float, float]
) -> Iterator[FitRow]:
    """Both quantities of one spec; an `undetermined` row that says what is missing where there is none."""
    if reference is None or curve is None:
        lacking = REFERENCE.slug if reference is None else subject.spec
        yield undetermined(subject, "difference", 0, METHOD, f"{lacking} has scores at fewer than two sizes")
        return
    n = len(curve.x)
    if ends[0] >= ends[1]:
        note = f"{REFERENCE.slug} and the {subject.bits}-bit specs share no range of bits"
        yield undetermined(subject, "difference", n, METHOD, note)
        return
    direction = family.metric.direction
    resamples = direction * (mean_over(curve, ends) - mean_over(reference, ends))
    low, high = percentile_interval(resamples)
    method = METHOD if low is None else BOOTSTRAP.format(family.resampled.method)
    note = "; ".join([f"against {REFERENCE.slug}, 2^{ends[0]:.2f} to 2^{ends[1]:.2f} bits", *family.resampled.notes])
    yield FitRow(subject, "difference", n, method, float(resamples[0]), low, high, note=note)
    yield over_models(subject, direction, reference, curve)


def mean_over(curve: Curve, ends: tuple[float, float]) -> Array:
    """f64 [resamples]: the curve's mean height between two numbers of log2 bits."""
    return curve.weights(grid_over(*ends)).mean(axis=0) @ curve.y


def over_models(subject: Subject, direction: int, reference: Curve, curve: Curve) -> FitRow:
    """The difference over the range of the two, and what it would be without each of the models."""
    quantity, sizes = "difference_over_models", np.intersect1d(reference.parameters, curve.parameters)
    if len(sizes) < MIN_JACKKNIFE_SIZES:
        needed = f"needs {MIN_JACKKNIFE_SIZES} sizes to leave one out, has {len(sizes)}"
        return undetermined(subject, quantity, len(curve.x), JACKKNIFE, needed)
    pair = [replace(one, y=one.y[:, :1]) for one in (reference, curve)]
    pairs = [pair, *([one.without(size) for one in pair] for size in sizes)]
    if any(low >= high for low, high in map(common_range, pairs)):
        note = "without one of the models the curves share no range"
        return undetermined(subject, quantity, len(curve.x), JACKKNIFE, note)
    value, *others = [direction * mean_difference(pair) for pair in pairs]
    low, high = jackknife_interval(value, others)
    return FitRow(subject, quantity, len(curve.x), JACKKNIFE, float(value[0]), float(low[0]), float(high[0]))


def mean_difference(pair: Sequence[Curve]) -> Array:
    """f64 [resamples]: how much higher the second curve is than the first, over the range of both."""
    ends = common_range(pair)
    return mean_over(pair[1], ends) - mean_over(pair[0], ends)
