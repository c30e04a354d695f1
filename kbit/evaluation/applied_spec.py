"""A quantization spec on an engine, which can be taken off for a while."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from kbit.kernels.backends import EAGER, watch
from kbit.models.engine import Engine
from kbit.models.inputs import ModelInputs
from kbit.spec.footprint import Footprint
from kbit.spec.quant import CONTROL, QuantSpec


class AppliedSpec:
    """Use as a context manager: however the block ends, the engine is under no spec after it."""

    def __init__(self, engine: Engine, spec: QuantSpec, shown: Sequence[ModelInputs] = ()) -> None:
        """shown: what a calibrated spec is solved for."""
        self.engine = engine
        self.spec = spec
        self.shown = shown
        self.footprint: Footprint | None = None
        self.stack = ExitStack()
        self._backends: set[str] = set()

    @property
    def backend(self) -> str | None:
        """What quantized the weights so far, as the row's column says it; None under the 16-bit control.

        A solver that asks no kernel works with torch's own operations.
        """
        return None if self.spec == CONTROL else "+".join(sorted(self._backends)) or EAGER

    def apply(self) -> Footprint:
        """Quantize the model, unless it is. Errors are those of `Engine.quantized`; it is under no spec then."""
        if self.footprint is None:
            self.stack.enter_context(watch(self._backends))  # a streamed model is quantized pass by pass
            self.footprint = self.stack.enter_context(self.engine.quantized(self.spec, self.shown))
        return self.footprint

    def lift(self) -> None:
        """Under no spec, until `apply` is called again."""
        self.footprint = None
        self.stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.lift()
