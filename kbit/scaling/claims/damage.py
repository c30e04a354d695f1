"""The damage that quantization does: how far a spec is from the same model at 16 bits, and how much of it goes."""

from collections.abc import Sequence

import polars as pl

from kbit.scaling.claims.views import CONTROL, View, match
from kbit.scaling.curves import Array


def gain_and_damage(view: View, changed: pl.Expr, plain: pl.Expr, on: Sequence[str]) -> tuple[Array, Array] | None:
    """Two f64 [resamples]: by how much `changed` specs are above `plain` ones, and these below 16 bits.

    Both as means over the pairs that are alike in `on`. None without a pair, a control, or damage.
    """
    pairs = match(view, changed, plain & ~CONTROL, on)
    if pairs is None:
        return None
    control = {row["model"]: row["row"] for row in view.points.filter(CONTROL).iter_rows(named=True)}
    keys = ["model", *on]
    models = (
        view.points.filter(changed)
        .select(keys)
        .unique()
        .join(view.points.filter(plain & ~CONTROL).select(keys).unique(), on=keys, how="inner", nulls_equal=True)
        .sort(keys, nulls_last=True)["model"]
        .to_list()
    )
    if any(model not in control for model in models):
        return None
    damage = (view.family.heights[[control[model] for model in models]] - pairs.second).mean(axis=0)
    if damage[0] <= 0:
        return None
    return pairs.difference, damage
