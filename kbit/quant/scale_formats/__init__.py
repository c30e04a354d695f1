"""The scale formats: how a block's scale is stored. One file each, named in `kbit.spec.members.SCALE_FORMATS`.

A file has one of two functions. `dtype(weight_dtype)`: a scale is rounded to that dtype, to nearest even. Or
`store(extent, largest)`: extent f32 [n], what the largest level of each block of a tensor has to reach; largest, that
level -> f32 [n], the stored scales as they are read back; 0 makes the block zeros.
"""

from types import ModuleType

from kbit.quant.implementations import implementations
from kbit.spec.members import SCALE_FORMATS as MEMBERS

SCALE_FORMATS: dict[str, ModuleType] = implementations(__name__, MEMBERS)
