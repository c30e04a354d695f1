"""Block size: how many weights share one absmax (the paper's figures 3 and 8)."""

from kbit.report.figures.figure import ACCOUNTINGS, Figure, Select, View
from kbit.report.figures.marks import curves
from kbit.report.points import ANY_RULE, HALF, MAIN_TEXT


def caption(view: View) -> str:
    return (
        f"{view.drawn}, one curve per block size, against log₂ {ACCOUNTINGS[view.accounting]} ({view.better}). "
        "A smaller block follows the weights more closely and stores more scales: 16/B bits per weight, 0.25 at 64 and "
        "0.016 at 1024, which the axis counts."
    )


FIGURE = Figure(
    name="block-sizes",
    title="Block size",
    series="block_size",
    draw=lambda view: curves(view, "block_size"),
    caption=caption,
    selects=(
        Select("bits", "Precision", prefer=(4, 3)),
        Select("data_type", "Data type", prefer=("int", "float")),
        Select("exponent_rule", "Exponent bits", prefer=(HALF,), always=(ANY_RULE,)),
    ),
    where={"plain": (True,), "final": (True,), "exponent_rule": (ANY_RULE, HALF, MAIN_TEXT)},
    quantities=("change", "value"),
    columns=(
        "family", "model", "block_size", "spec", "bits_per_param", "body_bits", "total_bits",
        "accuracy", "accuracy_stderr", "accuracy_change", "n_tasks", "loss", "loss_change",
    ),
)  # fmt: skip
