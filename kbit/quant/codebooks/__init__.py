"""The data types: one file each, named in `kbit.spec.members.DATA_TYPES` with version, legal bits and what is stored.

A file has a function `codebook(spec, weight)`: f32 [L <= 2^k] on the weight's device, strictly ascending, in [-1, 1]
unless the data type has a scale format of its own and keeps the elements of its standard. A data type whose table is
by row returns f32 [out, L], each row ascending, where levels may repeat. One whose table is stored, since it is learned
from the weight, takes `is_kept` as well, bool [in]: input dimensions that it does not learn from; None for none.
"""

from collections.abc import Callable

from torch import Tensor

from kbit.quant.implementations import implementations
from kbit.spec.members import DATA_TYPES

QUANTIZED = {name: member for name, member in DATA_TYPES.items() if name != "none"}

CODEBOOKS: dict[str, Callable[..., Tensor]] = {
    name: module.codebook for name, module in implementations(__name__, QUANTIZED).items()
}
