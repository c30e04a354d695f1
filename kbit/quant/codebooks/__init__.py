"""The data types: one file each, listed here; name, version, legal bits stand in `kbit.spec.members.DATA_TYPES`.

A codebook is f32 [L <= 2^k], strictly ascending in [-1, 1], on the weight's device.
"""

from collections.abc import Callable

from torch import Tensor

from kbit.quant.codebooks import dynamic, floating, integer, quantile
from kbit.spec.quant import QuantSpec

CODEBOOKS: dict[str, Callable[[QuantSpec, Tensor], Tensor]] = {
    "int": integer.codebook,
    "float": floating.codebook,
    "dynamic": dynamic.codebook,
    "quantile": quantile.codebook,
}
