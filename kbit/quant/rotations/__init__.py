"""The rotations of the input axis: one file each, named in `kbit.spec.members.ROTATIONS`.

A file has a function `rotate(weight)`, f32 [out, in] -> f32 [out, in], orthogonal and its own inverse: what is stored
is the quantized rotated weight, and a model rotates its inputs, or, as here, the weight is rotated back.
"""

from collections.abc import Callable

from torch import Tensor

from kbit.quant.implementations import implementations
from kbit.spec.members import DEFAULT_ROTATION
from kbit.spec.members import ROTATIONS as MEMBERS

ROTATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    name: module.rotate
    for name, module in implementations(
        __name__, {name: member for name, member in MEMBERS.items() if name != DEFAULT_ROTATION}
    ).items()
}
