"""Divergence: how far the predictions of a quantized model are from those of the same model at 16 bits."""

import altair as alt

from kbit.report.figures.figure import Figure, Select, View
from kbit.report.figures.marks import SPEC_TOOLTIPS, bits_axis, domain_params, series_base, series_shape, shared_scale
from kbit.report.points import ANY_RULE, HALF, MAIN_TEXT


def draw(view: View) -> alt.LayerChart:
    base = series_base(view, "bits", bits_axis(view))
    axis = alt.Axis(labelExpr="format(pow(10, datum.value), '.1~e')", tickMinStep=1)
    y = alt.Y("log_kl:Q", title="KL divergence, nats per token (log)", scale=shared_scale("y"), axis=axis)
    line = base.mark_line(strokeWidth=1.8, clip=True, strokeJoin="round").encode(y=y, order="x:Q")
    distance = alt.Tooltip("kl_divergence:Q", title="KL divergence", format=".3~e")
    points = base.mark_point(size=60, filled=True, opacity=1, clip=True, stroke="var(--paper)", strokeWidth=0.8).encode(
        y=y, shape=series_shape("bits"), tooltip=[*SPEC_TOOLTIPS[:2], distance, *SPEC_TOOLTIPS[2:]]
    )
    return alt.layer(line, points).add_params(*domain_params())


def caption(view: View) -> str:
    counted = "total model bits" if view.accounting == "total_bits" else "body bits"
    return (
        "KL divergence of a quantized model's next-token distributions from those of the same model at 16 bits, mean "
        f"over the tokens of the held-out text, against log₂ {counted} (lower is closer; 0 is the same model). It "
        "tells precisions apart that perplexity cannot, but says how far a model moved, not whether it got worse. The "
        "vertical axis is logarithmic."
    )


FIGURE = Figure(
    name="divergence",
    title="Divergence from the 16-bit model",
    series="bits",
    draw=draw,
    caption=caption,
    selects=(
        Select("data_type", "Data type", prefer=("float", "int")),
        Select("block_size", "Block size", prefer=("64", "128", "row")),
        Select("exponent_rule", "Exponent bits", prefer=(HALF,), always=(ANY_RULE,)),
    ),
    where={"plain": (True,), "final": (True,), "exponent_rule": (ANY_RULE, HALF, MAIN_TEXT)},
    y="log_kl",
    needs=("log_kl",),
    metrics=("loss",),
    without_value="the 16-bit control itself, or a cell without a score",
    robust_y=False,
    columns=("family", "model", "spec", "bits", "body_bits", "total_bits", "kl_divergence", "loss", "loss_change"),
)  # fmt: skip
