"""Data types at 3 and 4 bits, one curve per data type (the paper's figures 3 and 9)."""

from kbit.report.figures.figure import ACCOUNTINGS, Figure, Select, View
from kbit.report.figures.marks import curves


def caption(view: View) -> str:
    return (
        f"{view.drawn}, for every codebook at the same precision and block size, against log₂ "
        f"{ACCOUNTINGS[view.accounting]} ({view.better}). The curves of one panel differ in the values of their "
        "codebook alone; float is named with its exponent bits E. The vertical axes of the two precisions differ."
    )


FIGURE = Figure(
    name="data-types",
    title="Data types at 3 and 4 bits",
    series="codebook",
    draw=lambda view: curves(view, "codebook"),
    caption=caption,
    panels=("bits", "family"),
    selects=(Select("block_size", "Block size", prefer=("64", "128", "row")),),
    where={"plain": (True,), "final": (True,), "bits": (3, 4)},
    quantities=("change", "value"),
    columns=(
        "bits", "family", "model", "codebook", "spec", "body_bits", "total_bits",
        "accuracy", "accuracy_stderr", "accuracy_change", "n_tasks", "loss", "loss_change",
    ),
)  # fmt: skip
