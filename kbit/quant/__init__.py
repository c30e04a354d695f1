"""How one weight matrix is quantized: codebooks, scale formats, solvers. Nothing here sees a model."""

from kbit.quant.quantize import quantize_weight

__all__ = ["quantize_weight"]
