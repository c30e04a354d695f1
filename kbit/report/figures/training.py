"""Training tokens: what quantization costs at checkpoints of one model, which the laws of precision need as an axis."""

import math

import altair as alt

from kbit.report.figures.figure import Figure, Select, View
from kbit.report.figures.marks import curves, shared_scale
from kbit.report.points import ANY_RULE, CONTROL, HALF, MAIN_TEXT

TICKS = [math.log10(step * 10**power) for power in range(3, 15) for step in (1, 3)]


def draw(view: View) -> alt.LayerChart:
    axis = alt.Axis(labelExpr="format(pow(10, datum.value), '.1~s')", values=TICKS)
    x = alt.X("x:Q", title="training tokens (log)", scale=shared_scale("x"), axis=axis)
    return curves(view, "bits", x=x, x_value="log(datum.tokens_seen) / LN10")


def caption(view: View) -> str:
    drawn = (
        "The metric itself" if view.quantity == "value" else "What quantization costs: the metric minus that at 16 bits"
    )
    return (
        f"{drawn}, at checkpoints of the same model, one curve per precision ({view.better}). "
        "Longer training is expected to leave more to lose. The horizontal axis counts tokens, not bits."
    )


FIGURE = Figure(
    name="training",
    title="Training and the cost of quantization",
    series="bits",
    draw=draw,
    caption=caption,
    panels=("family", "parameters"),
    selects=(
        Select("data_type", "Data type", prefer=("float", "int"), always=(CONTROL,)),
        Select("block_size", "Block size", prefer=("64", "128", "row"), always=(None,)),
        Select("exponent_rule", "Exponent bits", prefer=(HALF,), always=(ANY_RULE,)),
    ),
    where={"plain": (True,), "has_checkpoints": (True,), "exponent_rule": (ANY_RULE, HALF, MAIN_TEXT)},
    x="tokens_seen",
    log_x=True,
    accountings=("total_bits",),
    quantities=("change", "value"),
    columns=(
        "family", "parameters", "tokens_seen", "model", "spec", "bits",
        "accuracy", "accuracy_stderr", "accuracy_change", "n_tasks", "loss", "loss_change",
    ),
)  # fmt: skip
