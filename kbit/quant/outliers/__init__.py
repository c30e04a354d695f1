"""The outlier rules: which input dimensions stay at 16 bits. One file each, named in `kbit.spec.members.OUTLIER_RULES`.

A file has a function `rank(weight, statistics)`: weight [out, in], the `kbit.quant.statistics.Statistics` that its
entry names -> f32 [in], larger for an input dimension that is rather kept.
"""

from collections.abc import Callable

from torch import Tensor

from kbit.quant.implementations import implementations
from kbit.quant.statistics import Statistics
from kbit.spec.members import OUTLIER_RULES as MEMBERS

OUTLIER_RULES: dict[str, Callable[[Tensor, Statistics], Tensor]] = {
    name: module.rank for name, module in implementations(__name__, MEMBERS).items()
}
