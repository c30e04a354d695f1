"""H4: at 3 bits large OPT and Pythia models fall to chance, GPT-2 and BLOOM do not."""

from collections.abc import Iterator

import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Tables
from kbit.scaling.claims.names import paper_family
from kbit.scaling.claims.views import CONTROL, PLAIN, View
from kbit.scaling.metrics import ACCURACY

STATISTIC = "lead over chance of the largest model at 3 bits, less a quarter of that at 16 bits"
COLLAPSING, STABLE = ("OPT", "Pythia"), ("GPT-2", "BLOOM", "BLOOMZ")
SHARE = 0.25
LARGE = 1_000_000_000
"""Parameters from which on the paper's largest models count; GPT-2 XL has 1.6 billion."""


def test(tables: Tables) -> Iterator[Finding]:
    """The largest model of every family of the paper, by accuracy."""
    if ACCURACY not in tables.evidence.metrics:
        return
    for family in tables.evidence.families(ACCURACY):
        if paper_family(family.family) is not None:
            yield find(View(family))


def find(view: View) -> Finding:
    size = view.points["parameters"].max() or 0
    if size < LARGE:
        return view.missing(STATISTIC, f"a model of {LARGE:,} parameters or more; the largest has {size:,}")
    largest = view.points.filter(pl.col("parameters") == size)
    three, control = largest.filter(PLAIN & (pl.col("bits") == 3)), largest.filter(CONTROL)
    if not three.height or not control.height:
        return view.missing(STATISTIC, "3-bit and 16-bit points of the largest model")
    chance = largest["mean_chance"].drop_nulls().first()
    if chance is None:
        return view.missing(STATISTIC, "the chance level of its tasks")
    best = view.heights(three).max(axis=0)
    lead = view.heights(control).mean(axis=0) - chance
    if lead[0] <= 0:
        return view.missing(STATISTIC, "a lead over chance at 16 bits")
    excess = best - chance - SHARE * lead
    collapses = paper_family(view.family.family) in COLLAPSING
    side = {"below": 0} if collapses else {"above": 0}
    told = f"{size:,} parameters keep {(best[0] - chance) / lead[0]:.0%} of their lead; expected to "
    told += "collapse" if collapses else "stay stable"
    return view.decide(
        STATISTIC,
        excess,
        unit=view.unit,
        n=three.height + control.height,
        note=told,
        **side,
    )


CLAIM = Claim(
    "H4",
    "Large OPT and Pythia models collapse at 3 bits, GPT-2 and BLOOM do not",
    "With its best plain 3-bit spec, the largest model of OPT or Pythia keeps less than a quarter of its 16-bit "
    "lead over chance; that of GPT-2, BLOOM or BLOOMZ keeps more. Models below a billion parameters say nothing.",
    "section 5.1, figure 2",
    test,
)
