"""H13: BLOOM and BLOOMZ behave alike: fine-tuning does not change what quantization does."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Subject, Tables, missing
from kbit.scaling.claims.names import paper_family
from kbit.scaling.claims.views import CONTROL, PLAIN, View, decide
from kbit.scaling.curves import Array

STATISTIC = "difference of the mean distances to 16 bits of BLOOMZ and BLOOM, less a quarter of the latter"
SHARE = 0.25


def test(tables: Tables) -> Iterator[Finding]:
    """Both families, sizes and specs that both have."""
    for metric in tables.evidence.metrics:
        views = {paper_family(family.family): View(family) for family in tables.evidence.families(metric)}
        subject = Subject("BLOOM, BLOOMZ", metric.name)
        if not {"BLOOM", "BLOOMZ"} <= set(views):
            yield missing(subject, STATISTIC, "both families, BLOOM and BLOOMZ")
        else:
            yield find(subject, views["BLOOM"], views["BLOOMZ"])


def find(subject: Subject, base: View, tuned: View) -> Finding:
    damage = [damages(view) for view in (base, tuned)]
    shared = sorted(set(damage[0]) & set(damage[1]))
    if not shared:
        return missing(subject, STATISTIC, "sizes and specs that both families have, beside 16 bits")
    first, second = (np.stack([of[key] for key in shared]) for of in damage)
    mean = first.mean(axis=0)
    if not mean[0] > 0:
        return missing(subject, STATISTIC, "damage in BLOOM, which it could be compared with")
    excess = np.abs((second - first).mean(axis=0)) - SHARE * mean
    sizes = len({size for size, _ in shared})
    told = f"BLOOM {mean[0]:.4f}, BLOOMZ {second.mean(axis=0)[0]:.4f}; {len(shared)} specs of {sizes} sizes"
    return decide(
        subject,
        STATISTIC,
        excess,
        below=0,
        unit=base.unit,
        n=2 * len(shared),
        method=f"mean over specs of both; {base.family.resampled.method}",
        note=told,
    )


def damages(view: View) -> dict[tuple[int, str], Array]:
    """(parameters, spec) -> how far it is below 16 bits, f64 [resamples]."""
    control = {row["parameters"]: row["row"] for row in view.points.filter(CONTROL).iter_rows(named=True)}
    rows = view.points.filter(PLAIN & ~CONTROL & pl.col("parameters").is_in(list(control)))
    heights = view.family.heights
    return {
        (row["parameters"], row["spec"]): heights[control[row["parameters"]]] - heights[row["row"]]
        for row in rows.iter_rows(named=True)
    }


CLAIM = Claim(
    "H13",
    "Fine-tuning does not change quantization",
    "Over the sizes and specs that BLOOM and BLOOMZ share, the mean distance to 16 bits of one differs from that "
    "of the other by less than a quarter.",
    "appendix C.1, figure 7",
    test,
)
