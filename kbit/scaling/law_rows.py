"""From solved laws to fit rows, alike for all laws that `fitter` fits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from kbit.scaling.curves import Array
from kbit.scaling.fit_rows import FitRow, Subject
from kbit.scaling.fitter import Solution
from kbit.scaling.jackknife import jackknife_interval

METHOD = "Huber on log residuals, many starts; delete-one-model jackknife, t interval with models - 3 df"
SPARE_SIZES = 2
"""A law needs so many sizes more than it has parameters along the sizes."""
ALONG_SIZES = 3
"""Floor, level and slope along the sizes (of a parabola: level, slope, curvature) take as many degrees of freedom."""


@dataclass(frozen=True)
class Parameter:
    """A reported parameter of a law."""

    value: Array
    """f64 [1 + models]: of the fit to all points, and of those without each model."""
    is_log: bool = False
    """The values are logarithms: the interval is made there, then both are raised."""
    bits: int | None = None


def law_rows(
    subject: Subject, solution: Solution, parameters: Mapping[str, Parameter], settings: str, note: str = ""
) -> Iterator[FitRow]:
    """A row for every parameter, and `converged` and `rms_log_residual`.

    A name may end in what tells it apart, as in `offset/3`: the quantity is what stands before the slash.
    """
    n = len(solution.residuals)
    told = "; ".join(text for text in (solution.note, note) if text)
    agreeing = f"{solution.agreeing} of {solution.n_starts} starts agree"
    chosen = f"{settings}; Huber delta {solution.delta:.2g}; {agreeing}"

    def row(quantity: str, value: float, **more: object) -> FitRow:
        return FitRow(subject, quantity, n, METHOD, value, note=told, settings=chosen, **more)

    for name, parameter in parameters.items():
        low, high = jackknife_interval(parameter.value[:1], list(parameter.value[1:, None]), n_fitted=ALONG_SIZES)
        bounds = np.array([parameter.value[0], low[0], high[0]])
        with np.errstate(over="ignore"):  # an unbounded interval has no upper end
            value, low, high = np.exp(bounds) if parameter.is_log else bounds
        yield row(name.partition("/")[0], float(value), low=float(low), high=float(high), bits=parameter.bits)
    yield row("converged", float(solution.converged[0]))
    yield row("rms_log_residual", solution.rms)
