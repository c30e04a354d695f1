"""The main figure: the metric against log2 bits, one curve per k, one panel per family (the paper's figure 2)."""

from kbit.report.figures.figure import ACCOUNTINGS, Figure, Select, View
from kbit.report.figures.marks import BARS, curves
from kbit.report.points import ANY_RULE, CONTROL, HALF, MAIN_TEXT


def caption(view: View) -> str:
    counted = {
        "total_bits": "everything a quantized model stores: codes, scales, codebooks, and the 16-bit embeddings, norms "
        "and biases",
        "body_bits": "the quantized linear layers alone: codes, scales, codebooks",
    }[view.accounting]
    best = "top" if view.metric == "accuracy" else "bottom"
    return (
        f"Each point is one model at one precision; a curve joins the models of one family that share a precision, "
        f"straight between them on log₂ {ACCOUNTINGS[view.accounting]}. At a given number of bits the curve at the "
        f"{best} is the precision to choose: a larger model with fewer bits per weight, or a smaller one with more. "
        f"The horizontal axis counts {counted}. {BARS}"
    )


FIGURE = Figure(
    name="bits",
    title="Which precision is best for a given number of bits",
    series="bits",
    draw=lambda view: curves(view, "bits", bars=True),
    caption=caption,
    selects=(
        Select("data_type", "Data type", prefer=("float", "int"), always=(CONTROL,)),
        Select("block_size", "Block size", prefer=("64", "128", "row"), always=(None,)),
        Select("exponent_rule", "Exponent bits", prefer=(HALF,), always=(ANY_RULE,)),
    ),
    error_bars=True,
    where={"plain": (True,), "final": (True,), "exponent_rule": (ANY_RULE, HALF, MAIN_TEXT)},
    columns=(
        "family", "model", "spec", "bits", "bits_per_param", "body_bits", "total_bits",
        "accuracy", "accuracy_stderr", "n_tasks", "loss", "loss_stderr",
    ),
)  # fmt: skip
