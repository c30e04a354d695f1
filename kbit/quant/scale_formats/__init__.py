"""The scale formats: how a block's scale is stored. One file each, named in `kbit.spec.members.SCALE_FORMATS`.

A file has either `dtype(weight_dtype)`: a scale is rounded to that dtype, to nearest even. Or three functions.
`store(extent, largest)`: extent f32 [n], what the largest level of each block of a tensor has to reach; largest, that
level -> f32 [n], the stored scales as they are read back; 0 makes the block zeros. `encode(extent, largest)` -> the
tensors that are stored, by name, and `decode` of these -> the same f32 [n].
"""

from types import ModuleType

from kbit.quant.implementations import implementations
from kbit.spec.members import SCALE_FORMATS as MEMBERS

SCALE_FORMATS: dict[str, ModuleType] = implementations(__name__, MEMBERS)
