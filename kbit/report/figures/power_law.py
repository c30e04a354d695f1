"""The power law with floor that was fitted to every curve of the main figure, drawn through its points."""

import altair as alt

from kbit.report.figures.figure import ACCOUNTINGS, Figure, Select, View
from kbit.report.figures.marks import BARS, domain_params, error_bars, series_base, series_points, shared_scale
from kbit.report.points import ANY_RULE, CONTROL, HALF, MAIN_TEXT


def draw(view: View) -> alt.LayerChart:
    base = series_base(view, "bits")
    y = alt.Y("loss:Q", title=view.y_title, scale=shared_scale("y"))
    fitted = alt.Y(f"fitted_{view.accounting}:Q", title=view.y_title, scale=shared_scale("y"))
    # Exact at every point; between them the law is smooth, falling and convex, which this interpolation keeps.
    line = base.mark_line(strokeWidth=1.6, clip=True, interpolate="monotone").encode(y=fitted, order="x:Q")
    bars = error_bars(base, view)
    return alt.layer(bars, line, series_points(base, y, "bits")).add_params(*domain_params())


def caption(view: View) -> str:
    return (
        f"The loss of every model, and the law loss = E + A · bits^(−α) fitted to the models of one precision over "
        f"{ACCOUNTINGS[view.accounting]}, drawn at the points' own sizes. The table of fits below has E, A and α with "
        f"their intervals. A law needs five sizes: families with fewer are missing here. {BARS}"
    )


FIGURE = Figure(
    name="power-law",
    title="Fitted power laws",
    series="bits",
    draw=draw,
    caption=caption,
    selects=(
        Select("data_type", "Data type", prefer=("float", "int"), always=(CONTROL,)),
        Select("block_size", "Block size", prefer=("64", "128", "row"), always=(None,)),
        Select("exponent_rule", "Exponent bits", prefer=(HALF,), always=(ANY_RULE,)),
    ),
    where={"plain": (True,), "final": (True,), "exponent_rule": (ANY_RULE, HALF, MAIN_TEXT)},
    needs=("fitted_total_bits", "fitted_body_bits"),
    metrics=("loss",),
    without_value="no law was fitted to so few sizes, or the cell has no score",
    error_bars=True,
    columns=(
        "family", "model", "spec", "bits", "body_bits", "total_bits", "loss", "loss_stderr",
        "fitted_total_bits", "fitted_body_bits",
    ),
)  # fmt: skip
