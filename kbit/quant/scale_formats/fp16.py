"""`fp16`: half precision, whatever the dtype of the weights."""

import torch


def dtype(weight_dtype: torch.dtype) -> torch.dtype:  # noqa: ARG001 (of every format that is a dtype)
    """Rounded to nearest even; exact where the weights have no more bits."""
    return torch.float16
