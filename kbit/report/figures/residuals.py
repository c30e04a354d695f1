"""What the power laws leave: the distance of every point from the law of its precision."""

import altair as alt

from kbit.report.figures import power_law
from kbit.report.figures.figure import ACCOUNTINGS, Figure, View
from kbit.report.figures.marks import ROWS, domain_params, series_base, series_points, shared_scale


def draw(view: View) -> alt.LayerChart:
    base = series_base(view, "bits")
    column = f"residual_{view.accounting}"
    y = alt.Y(
        f"{column}:Q",
        title="loss above the law, %",
        scale=shared_scale("y"),
        axis=alt.Axis(labelExpr="datum.value === 0 ? '0' : format(datum.value, '+~g')"),
    )
    zero = alt.Chart(ROWS).mark_rule(color="var(--rule)", aria=False).encode(y=alt.datum(0))
    line = base.mark_line(strokeWidth=1, opacity=0.5, clip=True).encode(y=y, order="x:Q")
    return alt.layer(zero, line, series_points(base, y, "bits")).add_params(*domain_params())


def caption(view: View) -> str:
    return (
        "How far each point lies above (+) or below (−) the power law of its precision, in per cent of the loss, "
        f"against log₂ {ACCOUNTINGS[view.accounting]}. A law that fits leaves no shape: a bend that all precisions "
        "share is the models' own, a point far from the line is an unusual model or an unstable cell. The choices are "
        "those of the figure above."
    )


FIGURE = Figure(
    name="residuals",
    title="Residuals of the power laws",
    series="bits",
    draw=draw,
    caption=caption,
    choices_of=power_law.FIGURE.name,
    selects=power_law.FIGURE.selects,
    where=power_law.FIGURE.where,
    y=lambda view: f"residual_{view.accounting}",
    needs=("residual_total_bits", "residual_body_bits"),
    metrics=("loss",),
    without_value="no law was fitted to so few sizes, or the cell has no score",
    robust_y=False,
    zero=True,
    columns=(
        "family", "model", "spec", "bits", "body_bits", "total_bits", "loss", "fitted_total_bits", "fitted_body_bits",
        "residual_total_bits", "residual_body_bits",
    ),
)  # fmt: skip
