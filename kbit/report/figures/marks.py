"""What the charts share: the axes, a curve with points, and the theme. Colours are the stylesheet's variables."""

import altair as alt

from kbit.report.figures.figure import View

THEME = {
    "background": "transparent",
    "font": "var(--sans)",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--ink)",
        "titleFontWeight": 500,
        "titleFontSize": 12,
        "titlePadding": 8,
        "labelFontSize": 11,
        "gridColor": "var(--grid)",
        "domainColor": "var(--rule)",
        "tickColor": "var(--rule)",
        "tickSize": 4,
        "labelPadding": 4,
    },
    "axisY": {"domain": False, "ticks": False, "tickCount": 5},
    "axisX": {"grid": False, "tickCount": 5},
    "text": {"color": "var(--muted)", "fontSize": 11},
}
"""Vega config of every chart. Colours are CSS, so light, dark and print need no second rendering."""

# Bytes under the power of two: 2^23 bits are 1 MB (of 2^20 bytes), 2^33 bits 1 GB.
BYTES_LABEL = (
    "[datum.label, datum.value < 13 ? '' : datum.value < 23 ? format(pow(2, datum.value - 13), '.3~g') + ' kB' : "
    "datum.value < 33 ? format(pow(2, datum.value - 23), '.3~g') + ' MB' : "
    "format(pow(2, datum.value - 33), '.3~g') + ' GB']"
)

ROWS = alt.NamedData("rows")
"""What every layer of every chart draws: the page fills it. One object, or layers would not share it."""

SPEC_TOOLTIPS = (
    alt.Tooltip("model:N", title="model"),
    alt.Tooltip("spec:N", title="quantization"),
    alt.Tooltip("bits_per_param:Q", title="bits per parameter", format=".4~g"),
    alt.Tooltip("body_bits:Q", title="body bits", format=",d"),
    alt.Tooltip("total_bits:Q", title="total model bits", format=",d"),
    alt.Tooltip("accuracy:Q", title="mean accuracy", format=".4f"),
    alt.Tooltip("accuracy_stderr:Q", title="its standard error", format=".4f"),
    alt.Tooltip("n_tasks:Q", title="zero-shot tasks", format="d"),
    alt.Tooltip("loss:Q", title="nats per byte", format=".4f"),
    alt.Tooltip("loss_stderr:Q", title="its standard error", format=".4f"),
)
Z95 = 1.96
"""Standard errors to either side of a 95 % interval."""
BARS = "Bars are 95 % intervals from the items alone; points share items, so curves differ more surely than bars say."


def domain_params() -> list[alt.Parameter]:
    """The ends of both axes, which the page sets so that all panels of a figure share them."""
    return [alt.param(name=name, value=0) for name in ("x_min", "x_max", "y_min", "y_max")]


def shared_scale(axis: str, **options: object) -> alt.Scale:
    """A linear scale between the page's two ends of an axis."""
    ends = {"domainMin": alt.ExprRef(f"{axis}_min"), "domainMax": alt.ExprRef(f"{axis}_max")}
    return alt.Scale(zero=False, nice=False, **ends, **options)


def bits_axis(view: View) -> alt.X:
    """log2 of the view's bit accounting, labelled with the power of two and the bytes."""
    axis = alt.Axis(labelExpr=BYTES_LABEL, labelLineHeight=13, format="d", tickMinStep=1)
    return alt.X("x:Q", title=view.x_title, scale=shared_scale("x"), axis=axis)


def series_color(series: str) -> alt.Color:
    """Colours of the figure's palette; the page fills the domain and the range, its own legend explains them."""
    return alt.Color(f"{series}:N", legend=None, scale=alt.Scale(domain=[], range=[]))


def series_shape(series: str) -> alt.Shape:
    return alt.Shape(f"{series}:N", legend=None, scale=alt.Scale(domain=[], range=[]))


def curves(
    view: View, series: str, x: alt.X | None = None, x_value: str | None = None, bars: bool = False
) -> alt.LayerChart:
    """One curve per series through its points, straight between them: the interpolation that the verdict uses.

    `x` is the horizontal axis and `x_value` the expression of its field x; by default log2 of the view's bits. `bars`
    draws the intervals of the points where the view shows the metric itself.
    """
    base = series_base(view, series, x, x_value)
    y = alt.Y(f"{view.y_field}:Q", title=view.y_title, scale=shared_scale("y"))
    line = base.mark_line(strokeWidth=1.8, clip=True, strokeJoin="round").encode(y=y, order="x:Q")
    points = series_points(base, y, series)
    intervals = [error_bars(base, view)] if bars and view.quantity == "value" else []
    return alt.layer(*intervals, line, points).add_params(*domain_params())


def series_base(view: View, series: str, x: alt.X | None = None, x_value: str | None = None) -> alt.Chart:
    """The rows with their field x, coloured by series."""
    return (
        alt.Chart(ROWS)
        .transform_calculate(x=x_value or f"log(datum.{view.accounting}) / LN2")
        .encode(x=x or bits_axis(view), color=series_color(series))
    )


def series_points(base: alt.Chart, y: alt.Y, series: str) -> alt.Chart:
    return base.mark_point(size=60, filled=True, opacity=1, clip=True, stroke="var(--paper)", strokeWidth=0.8).encode(
        y=y, shape=series_shape(series), tooltip=list(SPEC_TOOLTIPS)
    )


def error_bars(base: alt.Chart, view: View) -> alt.Chart:
    """95 % intervals of the metric; a point without a standard error has none."""
    metric = view.metric
    reach = f"{Z95} * datum.{metric}_stderr"
    return (
        base.transform_filter(f"isValid(datum.{metric}_stderr)")
        .transform_calculate(low=f"datum.{metric} - {reach}", high=f"datum.{metric} + {reach}")
        .mark_rule(strokeWidth=1.2, opacity=0.45, clip=True)
        .encode(y=alt.Y("low:Q", title=view.y_title, scale=shared_scale("y")), y2="high:Q")
    )
