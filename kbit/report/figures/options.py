"""Options beyond data type and block size: outliers at 16 bits, centering, solvers, rotation, scale formats."""

from kbit.report.figures.figure import ACCOUNTINGS, Figure, Select, View
from kbit.report.figures.marks import BARS, curves
from kbit.report.points import ANY_RULE, HALF, MAIN_TEXT


def caption(view: View) -> str:
    bars = f" {BARS}" if view.quantity == "value" else ""
    return (
        f"{view.drawn}, one curve per option and one without, at equal precision, data type and block size, "
        f"against log₂ {ACCOUNTINGS[view.accounting]} ({view.better}). An option is worth its bits where its "
        f"curve lies on the better side of the one without: what it stores beside the codes moves it right.{bars}"
    )


FIGURE = Figure(
    name="options",
    title="Outliers, centering, solvers and other options",
    series="option",
    draw=lambda view: curves(view, "option", bars=True),
    caption=caption,
    selects=(
        Select("bits", "Precision", prefer=(3, 4)),
        Select("data_type", "Data type", prefer=("int", "float")),
        Select("block_size", "Block size", prefer=("64", "128", "row")),
        Select("exponent_rule", "Exponent bits", prefer=(HALF,), always=(ANY_RULE,)),
    ),
    where={"final": (True,), "option_choice": (True,), "exponent_rule": (ANY_RULE, HALF, MAIN_TEXT)},
    quantities=("change", "value"),
    error_bars=True,
    columns=(
        "family", "model", "option", "spec", "bits_per_param", "body_bits", "total_bits",
        "accuracy", "accuracy_stderr", "accuracy_change", "n_tasks", "loss", "loss_stderr", "loss_change",
    ),
)  # fmt: skip
