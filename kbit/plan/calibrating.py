"""What calibrated specs cost beyond scoring, by the shapes of a transformer as wide as `width_bound` says.

A layer has 12 width^2 weights, in matrices whose inputs are 1, 1, 1 and 4 widths, and for each of its specs

* runs the text twice, pristine and quantized;
* sums x x^T over the text in fp32: 2 x 19 width^2 operations a token;
* factorizes these in float64, 67 / 3 width^3, at half the rate of fp32, and carries errors from input to input, 24
  width^3 in fp32;
* rounds input after input, 7 widths of them, some ten small operations each: 60 to 150 microseconds on a CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kbit.spec.cell import Cell
from kbit.spec.placement import MOMENT_VALUES, solving_bytes

INPUT_SECONDS = 1e-4
FLOAT32_SLOWER = 16
"""Than the 16-bit rate of a GPU."""


@dataclass(frozen=True, slots=True)
class Calibrating:
    """The calibrated specs among the missing ones."""

    specs: int = 0
    tokens: int = 0
    """Shown to each."""

    def seconds(self, linears: int, width: float, flop_per_second: float, is_16_bit: bool) -> float:
        """linears: weights of all layers; flop_per_second: sustained in scoring; is_16_bit: on a GPU, that is."""
        float32_rate = flop_per_second / (FLOAT32_SLOWER if is_16_bit else 1)
        layers = linears / (12 * width**2)
        runs = 2 * 2 * linears * self.tokens / flop_per_second
        moments = 2 * MOMENT_VALUES * width**2 * layers * self.tokens / float32_rate
        solving = (2 * 67 / 3 + 24) * width**3 * layers / float32_rate
        return self.specs * (runs + moments + solving + 7 * width * layers * INPUT_SECONDS)

    def host_bytes(self, width: float, itemsize: int, gpus: int) -> float:
        """Of the text's hidden states, which wait in host memory; on a CPU also of one layer's moments, and of what
        solving takes beside them."""
        solving = 0 if gpus else solving_bytes(width)
        return self.tokens * width * itemsize + solving if self.specs else 0.0


PLAIN = Calibrating()


def count_calibrated(missing: Sequence[Cell]) -> Calibrating:
    """Of one model's cells; a study has one text."""
    texts = {cell.spec: cell.calibration for cell in missing if cell.calibration is not None}
    tokens = max((text.items * text.entry.tokens_per_item for text in texts.values()), default=0)
    return Calibrating(len(texts), tokens)
