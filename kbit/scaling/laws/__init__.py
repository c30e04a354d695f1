"""The laws: one file each, and this list. A law turns the evidence of a study into fit rows."""

from collections.abc import Callable, Iterator

from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import FitRow
from kbit.scaling.laws.equal_bits import fit_equal_bits
from kbit.scaling.laws.linear import fit_linear
from kbit.scaling.laws.power_law import fit_power_laws
from kbit.scaling.laws.verdict import fit_verdicts

LAWS: dict[str, Callable[[Evidence], Iterator[FitRow]]] = {
    "verdict": fit_verdicts,
    "equal_bits": fit_equal_bits,
    "power_law": fit_power_laws,
    "linear": fit_linear,
}
"""By the name that the rows' column `fit` bears."""
