"""`fp32`: 32 bits, as bitsandbytes stores an absmax."""

import torch


def dtype(weight_dtype: torch.dtype) -> torch.dtype:  # noqa: ARG001 (of every format that is a dtype)
    """Rounded to nearest even; exact where the weights have no more bits."""
    return torch.float32
