"""group_size: loss - 16-bit loss = k * D^gamma_D * (log2 G)^gamma_G / N^gamma_N, G the block size.

The form in which Chen et al. (2025, arXiv 2505.14302) let the group size enter their law of quantization-aware
training: one fit per family, data type, options and k. Only blocks of a number of weights enter.
With two block sizes the exponent is determined but the form is not tested, which the note says. Intervals:
delete-one-model jackknife, of the logarithm of k.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.exclusions import EXCLUSIONS
from kbit.scaling.fit_rows import ALL, FitRow
from kbit.scaling.grids import Grid
from kbit.scaling.law_rows import Parameter
from kbit.scaling.metrics import LOSS
from kbit.scaling.penalties import PenaltyLaw, fit_penalty_grids
from kbit.scaling.selections import CONTROL, Selection


def log_log2(block_size: Array) -> Array:
    return np.log(np.log2(block_size))


LAW = PenaltyLaw(
    name="group_size",
    scale="k",
    size_exponent="gamma_N",
    token_exponent="gamma_D",
    column="block_size",
    feature=log_log2,
    bounds=(-60.0, 60.0),
    parameter="gamma_G",
    to_parameter=Parameter,
    min_levels=2,
    levels="block sizes",
)


def fit_group_sizes(evidence: Evidence) -> Iterator[FitRow]:
    """k, gamma_N, gamma_D where the models differ in training tokens, and gamma_G, for every k."""
    if LOSS not in evidence.metrics:
        return
    grids = block_grids(evidence.checkpoints)
    for bits in sorted(grids):
        yield from fit_penalty_grids(LAW, grids[bits], bits)


def block_grids(points: pl.DataFrame) -> dict[int, list[Grid]]:
    """By k: one grid per family, data type and options with a point for every model and block size."""
    kept = points.filter(EXCLUSIONS.rule(LOSS))
    control = kept.filter(pl.col("data_type") == CONTROL).select("model", control=LOSS.name)
    is_number = pl.col("block_size").str.contains(r"^\d+$").fill_null(value=False)
    keys = ["family", "data_type", "options", "bits"]
    planned = {key: len(group) for key, group in points.filter(is_number).group_by(keys)}
    numbered = kept.filter(is_number).with_columns(pl.col("block_size").cast(pl.Float64))
    best = numbered.sort("model", "block_size", LOSS.name, "spec").join(control, on="model", how="inner")
    grids: dict[int, list[Grid]] = {}
    for key, group in sorted(best.group_by(keys), key=lambda found: found[0]):
        family, data_type, options, bits = key
        one = group.unique(["model", "block_size"], keep="first", maintain_order=True)
        ordered = one.sort("family", "parameters", "model", "block_size")
        grid = Grid(family, LOSS, Selection(data_type, ALL, options), ordered, planned[key] - len(group))
        grids.setdefault(bits, []).append(grid)
    return grids
