"""What a figure is: which rows it draws, what the reader may choose, and the chart for each choice.

A chart is an Altair specification made here once for every view (bit accounting x metric x shown quantity).
The page filters rows by the selects in plain JavaScript and hands them to the specification of the view;
nothing about a chart is decided in JavaScript.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product

import altair as alt

ACCOUNTINGS: Mapping[str, str] = {"total_bits": "total model bits", "body_bits": "body bits"}
"""Bit accounting column -> how an axis names it (design §5: everything stored, or the quantized linears alone)."""

METRICS: Mapping[str, str] = {"loss": "loss, nats per byte", "accuracy": "mean zero-shot accuracy"}
"""Metric column of the page's points -> how an axis names it. The loss first: it resolves more at the same cost."""

QUANTITIES: Mapping[str, str] = {"value": "value", "change": "change from 16 bits"}
"""Whether a figure draws the metric, or its difference from the same model's 16-bit control."""

PANEL_HEIGHT = 250
BAR_HEIGHT = 21
"""Pixels; of one bar, which the page multiplies by the number of bars."""


@dataclass(frozen=True, slots=True)
class View:
    """One combination of the switches that change what the axes show."""

    accounting: str
    metric: str
    quantity: str

    @property
    def key(self) -> str:
        return f"{self.accounting}/{self.metric}/{self.quantity}"

    @property
    def x_title(self) -> str:
        return f"log₂ {ACCOUNTINGS[self.accounting]}"

    @property
    def y_field(self) -> str:
        return self.metric if self.quantity == "value" else f"{self.metric}_change"

    @property
    def y_title(self) -> str:
        if self.quantity == "value":
            return METRICS[self.metric]
        return "accuracy minus 16 bits" if self.metric == "accuracy" else "loss above 16 bits, nats/byte"

    @property
    def drawn(self) -> str:
        """What the vertical axis shows, as a caption begins."""
        if self.quantity == "value":
            return "The metric itself"
        return "What quantization costs a model: its metric minus that of the same model at 16 bits"

    @property
    def better(self) -> str:
        return "higher is better" if self.metric == "accuracy" else "lower is better"


@dataclass(frozen=True, slots=True)
class Select:
    """A choice the reader makes for one figure: rows whose `field` has another value are left out."""

    field: str
    label: str
    prefer: tuple[str | int, ...] = ()
    """The default is the first of these that the study has, else the first value."""
    always: tuple[str | None, ...] = ()
    """Values that are drawn whatever is chosen, and never offered."""


@dataclass(frozen=True, slots=True, eq=False)  # a figure is itself alone: its specifications are kept
class Figure:
    """One figure of the report."""

    name: str
    """Id in the page, in the URL and in the name of its CSV."""
    title: str
    series: str
    """Column that separates curves; names the palette that gives each value a colour and a shape."""
    draw: Callable[[View], alt.LayerChart | alt.Chart]
    """The chart of a view, reading rows from the named data source `rows`."""
    caption: Callable[[View], str]
    """What one sees, and which bit accounting it uses."""
    panels: tuple[str, ...] = ("family",)
    """Columns that split rows into small multiples: (inner,) or (outer, inner)."""
    selects: tuple[Select, ...] = ()
    choices_of: str = ""
    """Name of the figure whose selects and legend it follows; its own selects must then be the same."""
    where: Mapping[str, tuple[str | int | bool, ...]] = field(default_factory=dict)
    """Column -> values that are drawn; other rows never are."""
    needs: tuple[str, ...] = ()
    """Columns that must not be null, besides the view's own y (of figures with a metric)."""
    columns: tuple[str, ...] = ()
    """Columns of the table twin and of the CSV, in order."""
    accountings: tuple[str, ...] = tuple(ACCOUNTINGS)
    metrics: tuple[str, ...] = tuple(METRICS)
    quantities: tuple[str, ...] = ("value",)
    """The first is shown until the reader asks for another."""
    table: str = "points"
    """Frame of the page that it draws."""
    follows: tuple[str, ...] = ()
    """Columns that must equal the view's switch of that name, in rows fitted for one metric and one accounting."""
    x: str = "accounting"
    """Column of the horizontal axis; `accounting` stands for log2 of the view's."""
    log_x: bool = False
    """Whether x is drawn as its decimal logarithm."""
    y: str | Callable[[View], str] = ""
    """Column of the vertical axis, or which one a view has; empty: the view's metric."""
    error_bars: bool = False
    """Whether points of a metric itself carry their 95 % interval; a change from 16 bits has none of its own."""
    rows_are_bars: str = ""
    """Column whose values are horizontal bars one under the other; it then sets the height of a panel."""
    note: str = ""
    """A line computed from the drawn rows, one of the page's notes (page/notes.js)."""
    most_marks: int | None = None
    """A panel with more rows draws this many of them, evenly spread: for loose points, never for curves."""
    without_value: str = "a cell without a score, or a collapsed one"
    """Why a row of the reader's choice may lack what is drawn, as the note below the figure says it."""
    zero: bool = False
    """Whether the vertical axis always shows 0: what a difference is read against."""
    robust_y: bool = True
    """Whether a few far larger losses may lie outside the y axis (they are counted below the chart)."""

    def views(self) -> list[View]:
        return [View(*choice) for choice in product(self.accountings, self.metrics, self.quantities)]

    def y_of(self, view: View) -> str:
        """Column of the vertical axis in a view."""
        return self.y(view) if callable(self.y) else self.y or view.y_field

    def to_dict(self) -> dict[str, object]:
        """The figure as the page needs it: its rules, and a specification and a caption for every view."""
        views = self.views()
        return {
            "name": self.name,
            "title": self.title,
            "series": self.series,
            "panels": list(self.panels),
            "selects": [
                {"field": s.field, "label": s.label, "prefer": list(s.prefer), "always": list(s.always)}
                for s in self.selects
            ],
            "choicesOf": self.choices_of or self.name,
            "where": {column: list(values) for column, values in self.where.items()},
            "needs": list(self.needs),
            "columns": list(self.columns),
            "accountings": list(self.accountings),
            "metrics": list(self.metrics),
            "quantities": list(self.quantities),
            "table": self.table,
            "follows": list(self.follows),
            "x": self.x,
            "logX": self.log_x,
            "bars": self.rows_are_bars,
            "note": self.note,
            "mostMarks": self.most_marks,
            "withoutValue": self.without_value,
            "views": {
                view.key: {
                    "y": self.y_of(view),
                    "error": f"{view.metric}_stderr" if self.error_bars and view.quantity == "value" else None,
                    "robust": self.robust_y and view.metric == "loss",
                    "zero": view.quantity == "change" or self.zero,
                    "caption": self.caption(view),
                    "spec": specification(self, view),
                }
                for view in views
            },
        }


@cache
def specification(figure: Figure, view: View) -> dict[str, object]:
    """The Vega-Lite specification of a view without data; colours and fonts come from the page's stylesheet."""
    height = BAR_HEIGHT if figure.rows_are_bars else PANEL_HEIGHT
    fit = alt.AutoSizeParams(type="fit-x" if figure.rows_are_bars else "fit", contains="padding")
    chart = figure.draw(view).properties(width="container", height=height, autosize=fit)
    return chart.to_dict(validate=True)
