"""comparison: which law predicts models that it has not seen?

Every law of loss over sizes and k is fitted to all but the two largest sizes of a family and predicts these:
`held_out_error[law]` is the root mean square of its log errors there, over every k. `aic[law]` is n ln(mean squared log
residual) + 2 parameters of the fit to all sizes. `rank[law]` goes by the held-out error first, by AIC between equals.
A law with one curve for each k has its parameters once for each. The penalty laws first predict the 16-bit loss by a
power law of N. Laws have three parameters along the sizes: fewer than five sizes are `undetermined`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import FitRow, undetermined
from kbit.scaling.fitter import Form, Problem, fit_masked
from kbit.scaling.forms import LinearForm
from kbit.scaling.grids import Grid
from kbit.scaling.laws import bivariate_power, effective_parameters, log_quadratic, offset, power_law, ptq_penalty, qid
from kbit.scaling.metrics import LOSS
from kbit.scaling.penalties import PenaltyLaw, penalty_problem
from kbit.scaling.selections import CONTROL

NAME = "comparison"
METHOD = "fit without the two largest sizes, log error there; then AIC"
HELD_OUT = 2
MIN_SIZES = 3 + HELD_OUT
MIN_KS = 3

Kept = NDArray[np.bool_]
Predictor = Callable[[Sequence[Grid], Sequence[Kept]], tuple[list[Array], list[int]]]
"""(grids, the points of each that the fit may see) -> losses of all points of each, and numbers of parameters."""


@dataclass(frozen=True)
class Score:
    """How well a law did on one grid."""

    held_out_error: float
    aic: float
    parameters: int


def predict_joint(
    make: Callable[[Grid], tuple[Form, Problem]], grids: Sequence[Grid], kept: Sequence[Kept]
) -> tuple[list[Array], list[int]]:
    """A law with one set of parameters for all k; grids whose forms are equal are fitted together."""
    made = [make(grid) for grid in grids]
    predicted: list[Array] = [np.empty(0)] * len(grids)
    for form in {form for form, _ in made}:
        numbers = [number for number, (own, _) in enumerate(made) if own == form]
        fits = fit_masked(form, [made[number][1] for number in numbers], [kept[number] for number in numbers])
        for number, values in zip(numbers, fits, strict=True):
            predicted[number] = values
    return predicted, [form.n_parameters for form, _ in made]


def predict_each_k(
    form: Form, inputs: Callable[[Array], Array], grids: Sequence[Grid], kept: Sequence[Kept]
) -> tuple[list[Array], list[int]]:
    """A law of total bits with its own parameters for every k."""
    places = [(number, grid.column("bits") == k) for number, grid in enumerate(grids) for k in grid.ks]
    problems, masks = [], []
    for number, is_k in places:
        grid = grids[number]
        bits = grid.column("total_bits")[is_k]
        problems.append(Problem(inputs(bits), grid.value[is_k], grid.model[is_k]))
        masks.append(kept[number][is_k])
    predicted = [np.full(len(grid.value), np.nan) for grid in grids]
    for (number, is_k), values in zip(places, fit_masked(form, problems, masks), strict=True):
        predicted[number][is_k] = values
    return predicted, [form.n_parameters * len(grid.ks) for grid in grids]


def predict_penalties(law: PenaltyLaw, grids: Sequence[Grid], kept: Sequence[Kept]) -> tuple[list[Array], list[int]]:
    """The 16-bit loss by a power law of N, and the law's penalty on top."""
    is_control = [(grid.points["data_type"] == CONTROL).to_numpy() for grid in grids]
    controls = [power_law.power_problem(grid.column("quantized_parameters"), grid.value) for grid in grids]
    masks = [own & seen for own, seen in zip(is_control, kept, strict=True)]
    bases = fit_masked(power_law.PowerForm(), controls, masks)

    def make(grid: Grid) -> tuple[Form, Problem]:
        found = penalty_problem(law, grid)
        return found.form, found.problem

    seen = [one & ~own for one, own in zip(kept, is_control, strict=True)]
    losses, parameters = predict_joint(make, grids, seen)
    # The fit adds its penalty to the model's own 16-bit loss, which is not known of one held out.
    penalties = [
        np.where(own, 0, loss - grid.column("control"))
        for grid, loss, own in zip(grids, losses, is_control, strict=True)
    ]
    predicted = [base + penalty for base, penalty in zip(bases, penalties, strict=True)]
    return predicted, [power_law.N_PARAMETERS + one for one in parameters]


def power_inputs(bits: Array) -> Array:
    return (np.log(bits) - np.log(bits).mean())[:, None]


def quadratic_inputs(bits: Array) -> Array:
    x = np.log2(bits)
    return log_quadratic.quadratic_inputs(x, float(x.mean()))


def make_offset(grid: Grid) -> tuple[Form, Problem]:
    problem = offset.offset_problem(np.log2(grid.column("total_bits")), grid, HELD_OUT)
    return LinearForm(problem.inputs.shape[1]), problem


PREDICTORS: dict[str, Predictor] = {
    power_law.NAME: lambda grids, kept: predict_each_k(power_law.PowerForm(), power_inputs, grids, kept),
    log_quadratic.NAME: lambda grids, kept: predict_each_k(log_quadratic.FORM, quadratic_inputs, grids, kept),
    effective_parameters.NAME: lambda grids, kept: predict_joint(
        lambda grid: (effective_parameters.EffectiveForm(), effective_parameters.problem_of(grid)), grids, kept
    ),
    bivariate_power.NAME: lambda grids, kept: predict_joint(
        lambda grid: (bivariate_power.TwoPowersForm(), bivariate_power.problem_of(grid)), grids, kept
    ),
    offset.NAME: lambda grids, kept: predict_joint(make_offset, grids, kept),
    ptq_penalty.LAW.name: lambda grids, kept: predict_penalties(ptq_penalty.LAW, grids, kept),
    qid.LAW.name: lambda grids, kept: predict_penalties(qid.LAW, grids, kept),
}


def fit_comparisons(evidence: Evidence) -> Iterator[FitRow]:
    """Held-out error, AIC and rank of every law, for every family and selection."""
    if LOSS not in evidence.metrics:
        return
    grids: list[Grid] = []
    for grid in evidence.grids(LOSS):
        usable = grid.take(pl.col("control").is_not_null())
        if missing := what_is_missing(usable):
            yield undetermined(grid.subject(NAME), "rank", len(grid.value), METHOD, missing, grid.settings)
        else:
            grids.append(usable)
    if grids:
        scores = {name: score(predictor, grids) for name, predictor in PREDICTORS.items()}
        for number, grid in enumerate(grids):
            yield from describe(grid, {name: of_law[number] for name, of_law in scores.items()})


def what_is_missing(grid: Grid) -> str | None:
    """Why laws cannot be compared, or None if they can."""
    if len(grid.ks) < MIN_KS:
        return f"needs {MIN_KS} k, has {len(grid.ks)}"
    if grid.n_sizes < MIN_SIZES:
        return f"needs {MIN_SIZES} sizes, {HELD_OUT} of them to predict, has {grid.n_sizes}"
    return None


def score(predictor: Predictor, grids: Sequence[Grid]) -> list[Score]:
    """Both fits of a law to every grid, judged."""
    seen = [grid.model < grid.n_sizes - HELD_OUT for grid in grids]
    held_out, _ = predictor(grids, seen)
    every, parameters = predictor(grids, [np.ones(len(grid.value), dtype=bool) for grid in grids])
    scores = []
    for grid, kept, without, full, n_parameters in zip(grids, seen, held_out, every, parameters, strict=True):
        observed = np.log(grid.value)
        errors, residuals = log_errors(without, observed)[~kept], log_errors(full, observed)
        aic = len(residuals) * np.log(max(float(np.mean(residuals**2)), 1e-300)) + 2 * n_parameters
        scores.append(Score(float(np.sqrt(np.mean(errors**2))), float(aic), n_parameters))
    return scores


def log_errors(predicted: Array, observed: Array) -> Array:
    """f64 [points]; infinite where a law predicts no positive loss."""
    logs = np.log(predicted, out=np.full_like(predicted, np.inf), where=predicted > 0)
    return logs - observed


def describe(grid: Grid, scores: dict[str, Score]) -> Iterator[FitRow]:
    """The rows of one grid."""
    sizes = grid.points["parameters"].unique().sort().to_list()[-HELD_OUT:]
    note = f"predicts {' and '.join(f'{size:,}' for size in sizes)} parameters"
    subject, n = grid.subject(NAME, "total_bits"), len(grid.value)
    ranked = sorted(scores, key=lambda name: (scores[name].held_out_error, scores[name].aic))
    for rank, name in enumerate(ranked, start=1):
        one = scores[name]
        told = f"{note}; {one.parameters} parameters"
        for quantity, value in (("held_out_error", one.held_out_error), ("aic", one.aic), ("rank", float(rank))):
            yield FitRow(subject, f"{quantity}[{name}]", n, METHOD, value, note=told, settings=grid.settings)
