"""The scale formats: how an absmax is stored. Name and version of each stand in `kbit.spec.members.SCALE_FORMATS`."""

from collections.abc import Callable

import torch


def sixteen_bit(weight_dtype: torch.dtype) -> torch.dtype:
    """fp16, rounded to nearest even, for fp32 weights; a 16-bit weight's own dtype, in which its absmax is exact.

    The 16 bits per block of Dettmers & Zettlemoyer (2023), section 2.3.
    """
    return torch.float16 if weight_dtype == torch.float32 else weight_dtype


SCALE_FORMATS: dict[str, Callable[[torch.dtype], torch.dtype]] = {
    "16-bit": sixteen_bit,
}
"""dtype of the weights -> dtype in which an absmax is stored."""
