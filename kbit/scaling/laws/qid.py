"""qid: loss - 16-bit loss = k * D^beta / (N^alpha * P^gamma), P the bits of a weight.

Ouyang et al. (2024, arXiv 2411.17691), quantization-induced degradation: as Kumar's penalty, but a power of the bits.
They found k = 0.017, beta = 0.5251, alpha = 0.2261 and gamma = 5.4967 on Pythia's checkpoints, N and D in raw units.
Intervals: delete-one-model jackknife, of the logarithm of k.
"""

from collections.abc import Iterator

import numpy as np

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import FitRow
from kbit.scaling.law_rows import Parameter
from kbit.scaling.penalties import PenaltyLaw, fit_penalties


def exponent_of_bits(slope: Array) -> Parameter:
    """gamma of the coefficients of log P."""
    return Parameter(-slope)


LAW = PenaltyLaw(
    name="qid",
    scale="k",
    size_exponent="alpha",
    token_exponent="beta",
    column="bits",
    feature=np.log,
    bounds=(-60.0, 0.0),
    parameter="gamma",
    to_parameter=exponent_of_bits,
    min_levels=3,
    levels="k",
)


def fit_qids(evidence: Evidence) -> Iterator[FitRow]:
    """k, alpha, beta where the models differ in training tokens, and gamma."""
    return fit_penalties(LAW, evidence)
