"""ptq_penalty: loss - 16-bit loss = C_T * D^gamma_D / N^gamma_N * exp(-k / gamma_post).

Kumar et al. (2024, arXiv 2411.04330), quantization after training: it hurts more the longer a model was trained, D in
tokens, for its size, N quantized weights, and less by a constant factor for every further bit. Intervals:
delete-one-model jackknife, of the logarithms of C_T and gamma_post.
"""

from collections.abc import Iterator

import numpy as np

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import FitRow
from kbit.scaling.law_rows import Parameter
from kbit.scaling.penalties import PenaltyLaw, fit_penalties


def decay_constant(rate: Array) -> Parameter:
    """gamma_post, in bits, of the coefficients of k."""
    return Parameter(-np.log(-rate), is_log=True)


LAW = PenaltyLaw(
    name="ptq_penalty",
    scale="C_T",
    size_exponent="gamma_N",
    token_exponent="gamma_D",
    column="bits",
    feature=np.asarray,
    bounds=(-20.0, -1e-3),
    parameter="gamma_post",
    to_parameter=decay_constant,
    min_levels=3,
    levels="k",
)


def fit_ptq_penalties(evidence: Evidence) -> Iterator[FitRow]:
    """C_T, gamma_N, gamma_D where the models differ in training tokens, and gamma_post."""
    return fit_penalties(LAW, evidence)
