"""The share of the common range that each k wins, for every choice of specs: how robust the verdict is."""

import altair as alt

from kbit.report.figures.figure import ACCOUNTINGS, METRICS, Figure, View
from kbit.report.figures.marks import ROWS, domain_params, series_color

LABEL_SHARE = 0.07
"""Shares below this have no room for their label."""


def draw(_: View) -> alt.LayerChart:
    base = (
        alt.Chart(ROWS)
        .transform_stack(stack="share", groupby=["selection"], as_=["start", "end"], sort=[alt.SortField("bits")])
        .transform_calculate(middle="(datum.start + datum.end) / 2")
    )
    y = alt.Y(
        "selection:N",
        title=None,
        sort=alt.EncodingSortField("rank", order="ascending"),
        axis=alt.Axis(labelLimit=170, labelColor="var(--ink)"),
    )
    share_axis = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
    bars = base.mark_bar(height=alt.RelativeBandSize(0.72), stroke="var(--paper)", strokeWidth=1).encode(
        x=alt.X("start:Q", title="share of the common range", scale=alt.Scale(domain=[0, 1]), axis=share_axis),
        x2="end:Q",
        y=y,
        color=series_color("bits"),
        tooltip=[
            alt.Tooltip("selection:N", title="specs"),
            alt.Tooltip("bits:O", title="bits"),
            alt.Tooltip("share:Q", title="share won", format=".1%"),
            alt.Tooltip("share_low:Q", title="95 % from", format=".1%"),
            alt.Tooltip("share_high:Q", title="95 % to", format=".1%"),
            alt.Tooltip("win_rate:Q", title="resamples won", format=".1%"),
            alt.Tooltip("gap_to_best:Q", title="mean gap to the best", format="+.4f"),
        ],
    )
    labels = (
        base.transform_filter(f"datum.share >= {LABEL_SHARE}")
        .mark_text(fontWeight=600, color="var(--paper)")
        .encode(x="middle:Q", y=y, text="bits:O")
    )
    return alt.layer(bars, labels).add_params(*domain_params())


def caption(view: View) -> str:
    return (
        f"Each bar is the range of {ACCOUNTINGS[view.accounting]} that all curves of a family cover, divided among the "
        f"precisions by who is best, judged by {METRICS[view.metric]}. The first bar takes the best spec of each k; "
        "the others stay within one data type and block size. The numbers in the bars are k."
    )


FIGURE = Figure(
    name="shares",
    title="How much of the range each precision wins",
    table="shares",
    series="bits",
    draw=draw,
    caption=caption,
    follows=("metric", "accounting"),
    x="share",
    y="share",
    columns=("family", "selection", "bits", "share", "share_low", "share_high", "win_rate", "gap_to_best"),
    rows_are_bars="selection",
    robust_y=False,
)
