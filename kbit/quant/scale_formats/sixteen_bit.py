"""`16-bit`: what the paper counts, without loss where the weights themselves have 16 bits."""

import torch


def dtype(weight_dtype: torch.dtype) -> torch.dtype:
    """fp16, rounded to nearest even, for fp32 weights; a 16-bit weight's own dtype, in which its absmax is exact.

    The 16 bits per block of Dettmers & Zettlemoyer (2023), section 2.3.
    """
    return torch.float16 if weight_dtype == torch.float32 else weight_dtype
