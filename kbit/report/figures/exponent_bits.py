"""Exponent bits: how a float of k bits should divide them between exponent and mantissa (the paper's figure 12)."""

from kbit.report.figures.figure import ACCOUNTINGS, Figure, Select, View
from kbit.report.figures.marks import BARS, curves


def caption(view: View) -> str:
    bars = f" {BARS}" if view.quantity == "value" else ""
    return (
        f"{view.drawn}, one curve for every number of exponent bits E that the study tried at this precision, against "
        f"log₂ {ACCOUNTINGS[view.accounting]} ({view.better}). More exponent bits reach smaller weights, fewer leave "
        f"more mantissa to tell large ones apart. All curves of a panel store the same number of bits.{bars}"
    )


FIGURE = Figure(
    name="exponent-bits",
    title="Exponent bits of floats",
    series="exponent_bits",
    draw=lambda view: curves(view, "exponent_bits", bars=True),
    caption=caption,
    selects=(
        Select("bits", "Precision", prefer=(4, 3)),
        Select("data_type", "Data type", prefer=("float",)),
        Select("block_size", "Block size", prefer=("64", "128", "row")),
    ),
    where={"plain": (True,), "final": (True,), "exponent_choice": (True,)},
    quantities=("change", "value"),
    error_bars=True,
    columns=(
        "family", "model", "bits", "exponent_bits", "spec", "body_bits", "total_bits",
        "accuracy", "accuracy_stderr", "accuracy_change", "n_tasks", "loss", "loss_stderr", "loss_change",
    ),
)  # fmt: skip
