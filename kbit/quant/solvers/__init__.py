"""The solvers: how codes are chosen. One file each, named in `kbit.spec.members.SOLVERS`.

A file has a function `solve(weight, codebook, scales, statistics)`: weight [out, in], the codebook of its data type,
the `kbit.quant.scales.Scales` of its blocks, the `kbit.quant.statistics.Statistics` that its entry names -> the
dequantized weight, contiguous, in its shape and dtype.
"""

from collections.abc import Callable

from torch import Tensor

from kbit.quant.implementations import implementations
from kbit.quant.scales import Scales
from kbit.quant.statistics import Statistics
from kbit.spec.members import SOLVERS as MEMBERS

SOLVERS: dict[str, Callable[[Tensor, Tensor, Scales, Statistics], Tensor]] = {
    name: module.solve for name, module in implementations(__name__, MEMBERS).items()
}
