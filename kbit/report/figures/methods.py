"""Every method against plain 4-bit integers at equal bits, best first: data types, scale formats, solvers together."""

import altair as alt

from kbit.report.figures.figure import ACCOUNTINGS, Figure, Select, View
from kbit.report.figures.marks import domain_params, series_color, series_shape

UNITS = {"loss": "loss, nats per byte", "accuracy": "accuracy"}
LINEAR_BELOW = 0.01
"""Differences up to about this are drawn on a linear scale, larger ones on a logarithmic one: good methods differ by
thousandths, and the worst lie a hundred times further out."""
LABEL_LIMIT = alt.expr("min(300, 0.45 * containerSize()[0])")
PADDING = {"left": 16, "right": 5, "top": 5, "bottom": 5}
"""Long labels are a little wider than Vega estimates them."""
TICKS = [sign * size for size in (0.01, 0.03, 0.1, 0.3, 1, 3, 10) for sign in (-1, 1)] + [0]


def draw(view: View) -> alt.LayerChart:
    best_first = "ascending" if view.metric == "loss" else "descending"
    y = alt.Y(
        "spec:N",
        title=None,
        sort=alt.EncodingSortField("difference", order=best_first),
        axis=alt.Axis(labelLimit=LABEL_LIMIT, labelColor="var(--ink)", grid=True),
    )
    title = [UNITS[view.metric], "minus int4-b64 (symlog)"]
    scale = alt.Scale(type="symlog", constant=LINEAR_BELOW, zero=True)
    x = {"title": title, "scale": scale, "axis": alt.Axis(format="+~g", values=TICKS, labelOverlap="greedy")}
    rows = alt.Chart(alt.NamedData("rows"))
    base = rows.encode(y=y, color=series_color("option"))
    reference = rows.mark_rule(color="var(--muted)", strokeDash=[3, 3], aria=False).encode(x=alt.datum(0))
    return (
        alt.layer(
            reference,
            interval(base, "models", strokeWidth=1, opacity=0.55).encode(x=alt.X("models_low:Q", **x)),
            interval(base, "items", strokeWidth=3.5, opacity=0.55).encode(x=alt.X("items_low:Q", **x)),
            base.mark_point(size=60, filled=True, opacity=1, stroke="var(--paper)", strokeWidth=0.8).encode(
                x=alt.X("difference:Q", **x), shape=series_shape("option"), tooltip=TOOLTIPS
            ),
        )
        .add_params(*domain_params())
        .properties(padding=PADDING)
    )


def interval(base: alt.Chart, over: str, **style: float) -> alt.Chart:
    return base.transform_filter(f"isValid(datum.{over}_low)").mark_rule(**style).encode(x2=f"{over}_high:Q")


TOOLTIPS = [
    alt.Tooltip("spec:N", title="quantization"),
    alt.Tooltip("bits_per_param:Q", title="bits per parameter", format=".4~g"),
    alt.Tooltip("difference:Q", title="minus int4-b64", format="+.4f"),
    alt.Tooltip("items_low:Q", title="95 % over items from", format="+.4f"),
    alt.Tooltip("items_high:Q", title="to", format="+.4f"),
    alt.Tooltip("models_low:Q", title="95 % over models from", format="+.4f"),
    alt.Tooltip("models_high:Q", title="to", format="+.4f"),
]


def caption(view: View) -> str:
    better = "left" if view.metric == "loss" else "right"
    counted = ACCOUNTINGS[view.accounting]
    return (
        "How far the curve of each method lies from that of plain 4-bit integers (int4-b64, rounded to nearest), at "
        f"equal {counted}: the mean over the range of {counted} that all methods of this precision cover. Further "
        f"{better} is better, 0 is no difference; beyond about {LINEAR_BELOW} the axis is logarithmic. A method that "
        "stores more beside its codes is thereby compared with a reference of more weights, so its extra bits are paid "
        "for. Best first. Thick bars are 95 % intervals over items, thin ones over models, by leaving each out in "
        "turn; with few models these are wide. Methods share items and models, so two of them differ more surely than "
        "their bars say."
    )


FIGURE = Figure(
    name="methods",
    title="Methods at equal bits, ranked",
    table="methods",
    series="option",
    draw=draw,
    caption=caption,
    follows=("metric", "accounting"),
    selects=(Select("bits", "Precision", prefer=(4, 3)),),
    x="difference",
    y="difference",
    columns=(
        "family", "bits", "spec", "bits_per_param", "difference",
        "items_low", "items_high", "models_low", "models_high",
    ),
    rows_are_bars="spec",
    without_value="too few sizes of it have a score",
    robust_y=False,
)  # fmt: skip
