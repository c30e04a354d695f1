"""Perplexity against accuracy: whether the two metrics rank the points alike (the paper's r = -0.94)."""

import altair as alt

from kbit.report.figures.figure import METRICS, Figure, View
from kbit.report.figures.marks import ROWS, SPEC_TOOLTIPS, domain_params, series_color, series_shape, shared_scale

MOST_MARKS = 2500
"""The whole study has 7,600 points, which a browser takes seconds to draw and no reader can tell apart."""


def draw(_: View) -> alt.Chart:
    return (
        alt.Chart(ROWS)
        .mark_point(size=38, filled=True, opacity=0.7, clip=True)
        .transform_calculate(x="datum.loss")
        .encode(
            x=alt.X("x:Q", title=METRICS["loss"], scale=shared_scale("x")),
            y=alt.Y("accuracy:Q", title=METRICS["accuracy"], scale=shared_scale("y")),
            color=series_color("family"),
            shape=series_shape("family"),
            tooltip=list(SPEC_TOOLTIPS),
        )
        .add_params(*domain_params())
    )


def caption(_: View) -> str:
    return (
        "Every point of the study that has both metrics: one model under one quantization, all precisions, data types "
        "and block sizes together. Loss is log-perplexity per byte of text, so that families with different tokenizers "
        "share an axis. Neither axis counts bits. Points of one model are not independent, so the correlation carries "
        "no p-value."
    )


FIGURE = Figure(
    name="perplexity-accuracy",
    title="Perplexity against accuracy",
    series="family",
    draw=draw,
    caption=caption,
    panels=(),
    x="loss",
    needs=("loss", "accuracy"),
    accountings=("total_bits",),
    metrics=("accuracy",),
    columns=("family", "model", "spec", "bits", "loss", "accuracy", "accuracy_stderr", "n_tasks"),
    note="correlation",
    most_marks=MOST_MARKS,
    robust_y=False,
)
