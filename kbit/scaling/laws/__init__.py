"""The laws: one file each, and this list. A law turns the evidence of a study into fit rows."""

from collections.abc import Callable, Iterator

from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import FitRow
from kbit.scaling.laws.bivariate_power import fit_bivariate_powers
from kbit.scaling.laws.comparison import fit_comparisons
from kbit.scaling.laws.effective_parameters import fit_effective_parameters
from kbit.scaling.laws.equal_bits import fit_equal_bits
from kbit.scaling.laws.group_size import fit_group_sizes
from kbit.scaling.laws.linear import fit_linear
from kbit.scaling.laws.linear_robust import fit_linear_robust
from kbit.scaling.laws.log_quadratic import fit_log_quadratics
from kbit.scaling.laws.mixed import fit_mixed
from kbit.scaling.laws.offset import fit_offsets
from kbit.scaling.laws.power_law import fit_power_laws
from kbit.scaling.laws.ptq_penalty import fit_ptq_penalties
from kbit.scaling.laws.qid import fit_qids
from kbit.scaling.laws.unstable import find_unstable
from kbit.scaling.laws.verdict import fit_verdicts

LAWS: dict[str, Callable[[Evidence], Iterator[FitRow]]] = {
    "verdict": fit_verdicts,
    "equal_bits": fit_equal_bits,
    "power_law": fit_power_laws,
    "effective_parameters": fit_effective_parameters,
    "bivariate_power": fit_bivariate_powers,
    "ptq_penalty": fit_ptq_penalties,
    "qid": fit_qids,
    "group_size": fit_group_sizes,
    "log_quadratic": fit_log_quadratics,
    "offset": fit_offsets,
    "comparison": fit_comparisons,
    "linear": fit_linear,
    "linear_robust": fit_linear_robust,
    "mixed": fit_mixed,
    "unstable": find_unstable,
}
"""By the name that the rows' column `fit` bears."""

RESAMPLED = ("verdict", "equal_bits", "unstable")
"""Those that read the resamples of items, as the claims do: made once where these are fitted together."""
