"""The figures of a report, in the order shown. A new figure is one file here and one entry in this list."""

from kbit.report.figures import (
    bits,
    block_sizes,
    data_types,
    divergence,
    exponent_bits,
    methods,
    options,
    perplexity_accuracy,
    power_law,
    residuals,
    shares,
    training,
)
from kbit.report.figures.figure import ACCOUNTINGS, METRICS, QUANTITIES, Figure

FIGURES: tuple[Figure, ...] = (
    bits.FIGURE,
    shares.FIGURE,
    methods.FIGURE,
    power_law.FIGURE,
    residuals.FIGURE,
    data_types.FIGURE,
    block_sizes.FIGURE,
    exponent_bits.FIGURE,
    options.FIGURE,
    training.FIGURE,
    perplexity_accuracy.FIGURE,
    divergence.FIGURE,
)

__all__ = ["ACCOUNTINGS", "FIGURES", "METRICS", "QUANTITIES", "Figure"]
