"""A quantization spec on an engine, which can be taken off for a while."""

from contextlib import ExitStack
from typing import Self

from kbit.models.engine import Engine
from kbit.spec.footprint import Footprint
from kbit.spec.quant import QuantSpec


class AppliedSpec:
    """Use as a context manager: however the block ends, the engine is under no spec after it."""

    def __init__(self, engine: Engine, spec: QuantSpec) -> None:
        self.engine = engine
        self.spec = spec
        self.footprint: Footprint | None = None
        self.stack = ExitStack()

    def apply(self) -> Footprint:
        """Quantize the model, unless it is. Errors are those of `Engine.quantized`; it is under no spec then."""
        if self.footprint is None:
            self.footprint = self.stack.enter_context(self.engine.quantized(self.spec))
        return self.footprint

    def lift(self) -> None:
        """Under no spec, until `apply` is called again."""
        self.footprint = None
        self.stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.lift()
