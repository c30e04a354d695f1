"""The metrics that curves are drawn of, and which direction is better."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of the table points."""

    name: str
    task_kind: str
    task_set: str
    """How fit rows name the tasks it is of."""
    direction: int
    """+1: higher is better; -1: lower is better."""
    cap: float | None = None
    """The worst value that enters a curve; also stands in for a collapsed point."""


# A model that spreads its guess evenly over the 256 bytes has ln 256 nats per byte. A collapsed model has no finite
# loss; leaving it out would flatter its k (the paper caps perplexity at 100 for the same reason).
UNIFORM_NATS_PER_BYTE = math.log(256)

ACCURACY = Metric("mean_zero_shot_accuracy", "zero-shot", "zero-shot mean", +1)
LOSS = Metric("nats_per_byte", "perplexity", "perplexity", -1, cap=UNIFORM_NATS_PER_BYTE)

METRICS = (LOSS, ACCURACY)
"""In the order of preference for a headline: the loss resolves more than the accuracy at the same cost."""

BIT_ACCOUNTINGS = ("total_bits", "body_bits")
"""Columns of the table points: everything stored, or the quantized linears alone."""
