"""How good the plan's predictions are: predicted against measured seconds of the cells that are there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import median, quantiles

from kbit.plan.cost import cell_flop, cell_tokens
from kbit.plan.rates import Rates
from kbit.plan.resources import Estimator
from kbit.spec.cell import Cell
from kbit.spec.models import Model
from kbit.spec.placement import Placement
from kbit.store.throughput import PredictionRatio


@dataclass(frozen=True, slots=True)
class Measured:
    """How a cell was scored."""

    seconds: float
    placement: Placement
    threads: int


def prediction_ratio(estimator: Estimator, measured: Mapping[str, Measured]) -> PredictionRatio | None:
    """Of all measured cells of the plan, by cell id; None if there are none.

    Every model is predicted without what was measured on itself, as the plan would have predicted it before it was
    first run, and from the estimated numbers of tokens: the error is that of a prediction, not of a fit.
    """

    @cache
    def rates(model: Model, dtype: str, placement: Placement, threads: int) -> Rates:
        token_budget = estimator.plan.study.config.token_budget
        return estimator.rates(model, dtype, token_budget, placement, threads, own=False)

    ratios, sources = [], set()
    for cell, found in of_plan(estimator.plan.cells, measured):
        speed = rates(cell.model, cell.dtype, found.placement, found.threads)
        ratios.append(predicted_seconds(cell, speed) / found.seconds)
        sources.add(speed.source)
    if not ratios:
        return None
    low, high = deciles(ratios)
    return PredictionRatio(len(ratios), median(ratios), low, high, tuple(sorted(sources)))


def of_plan(cells: Iterable[Cell], measured: Mapping[str, Measured]) -> Iterable[tuple[Cell, Measured]]:
    return ((cell, measured[cell.cell_id]) for cell in cells if cell.cell_id in measured)


def predicted_seconds(cell: Cell, rates: Rates) -> float:
    return rates.scoring_seconds(cell_tokens(cell), cell_flop(cell), 1)


def deciles(values: list[float]) -> tuple[float, float]:
    """The tenth and the ninetieth percentile."""
    if len(values) == 1:
        return values[0], values[0]
    cuts = quantiles(values, n=10, method="inclusive")
    return cuts[0], cuts[-1]
