"""The blocks of a weight: how many weights each has, and the scale and offset that are stored for it."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kbit.kernels.blockwise import block_mean, block_range
from kbit.quant.blocks import weights_per_block
from kbit.quant.scale_formats import SCALE_FORMATS
from kbit.quant.scale_formats.sixteen_bit import dtype as sixteen_bit
from kbit.spec.errors import UnsupportedError
from kbit.spec.members import DATA_TYPES, DEFAULT_CENTERING
from kbit.spec.quant import QuantSpec


@dataclass(frozen=True)
class Scales:
    """What is stored for the blocks of one weight: a level u of the codebook stands for u * scale + offset."""

    weight: Tensor
    """[out, in] fp32, fp16 or bf16, finite."""
    spec: QuantSpec
    name: str
    """Of the tensor, for errors."""
    largest_level: float = 1.0
    """What the extreme of a block is mapped to."""

    @property
    def block_size(self) -> int:
        return weights_per_block(self.weight, self.spec)

    @property
    def scale_dtype(self) -> torch.dtype | None:
        """What a scale is rounded to, for scale formats that are a dtype."""
        scale_format = SCALE_FORMATS[self.spec.scale_format]
        return scale_format.dtype(self.weight.dtype) if hasattr(scale_format, "dtype") else None

    @property
    def absmax_dtype(self) -> torch.dtype | None:
        """Set where the scale is no more than the block's absmax in that dtype, so that a kernel can find it itself."""
        is_plain = self._scaling == "absmax" and self.largest_level == 1 and not self.is_centered
        return self.scale_dtype if is_plain else None

    @property
    def has_minimum(self) -> bool:
        """Whether levels begin at a stored minimum."""
        return self._scaling == "range"

    @property
    def is_centered(self) -> bool:
        return self.spec.centered != DEFAULT_CENTERING

    @property
    def _scaling(self) -> str:
        return DATA_TYPES[self.spec.data_type].scaling

    @cached_property
    def scale(self) -> Tensor:
        """f32 [blocks], as it is read back. UnsupportedError, naming the tensor: beyond what its format holds."""
        check_fits(self.extent, self.scale_dtype or torch.float32, self.name, self._scaling)
        return self.store(self.extent)

    @cached_property
    def extent(self) -> Tensor:
        """f32 [blocks]: what the largest level of each block has to reach, before it is stored."""
        lowest, highest = self._ranges
        if self.is_centered:
            lowest, highest = lowest - self.offset, highest - self.offset
        if self.has_minimum:
            # From the stored minimum, so that the maximum is reached from where the levels begin.
            return (highest - self.offset).clamp_min(0.0)
        if self._scaling == "signed":
            return torch.where(highest >= -lowest, highest, lowest)
        return torch.maximum(highest, -lowest)

    def store(self, extent: Tensor) -> Tensor:
        """Extents -> scales as they are read back, f32 [blocks] both."""
        if self.scale_dtype is not None:
            return extent.to(self.scale_dtype).float()
        stored = SCALE_FORMATS[self.spec.scale_format].store(extent, self.largest_level)
        limit = torch.finfo(torch.float32).max  # where one that is rounded up would be infinite
        return stored.clamp(-limit, limit)

    @cached_property
    def offset(self) -> Tensor | None:
        """f32 [blocks], the stored minimum or mean as it is read back; None where there is neither."""
        if not self.has_minimum and not self.is_centered:
            return None
        values, kind = (self._ranges[0], "minimum") if self.has_minimum else (self._means, "mean")
        check_fits(values, sixteen_bit(self.weight.dtype), self.name, kind)
        return self.store_offset(values)

    def store_offset(self, values: Tensor) -> Tensor:
        """Minimums or means in 16 bits, as they are read back, f32 [blocks] both."""
        return values.to(sixteen_bit(self.weight.dtype)).float()

    @cached_property
    def centered(self) -> Tensor:
        """What levels are learned from: the weight less its stored means, f32 [out, in]; itself without centering."""
        if not self.is_centered:
            return self.weight
        means = self.offset.repeat_interleave(self.block_size)[: self.weight.numel()]
        return self.weight.float() - means.view(self.weight.shape)

    @property
    def _means(self) -> Tensor:
        """f32 [blocks]; the tensor's for each of them where that is what is subtracted."""
        flat = self.weight.contiguous().view(-1)
        if self.spec.centered == "block":
            return block_mean(flat, self.block_size)
        n_blocks = -(-flat.numel() // self.block_size)
        return flat.mean(dtype=torch.float64).float().expand(n_blocks)

    @cached_property
    def _ranges(self) -> tuple[Tensor, Tensor]:
        """Smallest and largest weight of each block, f32 [blocks]."""
        lowest, highest = block_range(self.weight.contiguous().view(-1), self.block_size)
        return lowest.float(), highest.float()


WHAT_IS_STORED = {
    "absmax": ("largest weight has magnitude", "an absmax"),
    "signed": ("largest weight has magnitude", "an absmax"),
    "range": ("widest block spans", "a range"),
    "minimum": ("largest minimum of a block has magnitude", "a minimum"),
    "mean": ("largest mean has magnitude", "a mean"),
}


def check_fits(values: Tensor, dtype: torch.dtype, name: str, kind: str = "absmax") -> None:
    """UnsupportedError, naming the tensor: what the dtype that it is stored in cannot hold."""
    largest = values.abs().amax()
    if torch.isinf(largest.to(dtype)):
        what, stored = WHAT_IS_STORED[kind]
        raise UnsupportedError(
            f"{name}: its {what} {largest.item():g}, but {stored} is stored as "
            f"{str(dtype).removeprefix('torch.')}, which ends at {torch.finfo(dtype).max:g}"
        )
