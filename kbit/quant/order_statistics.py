"""Exact order statistics of a tensor: from a histogram of bit patterns if 16 bits hold every value, else by sorting."""

import numpy as np
import torch
from torch import Tensor

PATTERNS = 1 << 16
NEGATIVE_PATTERNS = PATTERNS // 2


def order_statistics(values: Tensor, ranks: Tensor) -> Tensor:
    """values [...] fp32, fp16 or bf16, finite, at least one; ranks i64 [r], 0 for the smallest -> f32 [r]."""
    values = values.detach().reshape(-1)
    # fp32 weights mostly come from a checkpoint in fp16, and then its histogram is exact and ten times as quick.
    narrow = values.to(torch.float16) if values.dtype == torch.float32 else values
    if narrow is values or torch.equal(narrow.to(values.dtype), values):
        return from_histogram(narrow, ranks).float()
    return sort(values)[ranks]


def from_histogram(values: Tensor, ranks: Tensor) -> Tensor:
    """values fp16 or bf16 [n] -> the same dtype [r]. Bit patterns count from -0 down to -inf, then from 0 up to inf."""
    patterns = torch.bincount(values.view(torch.int16).int() + NEGATIVE_PATTERNS, minlength=PATTERNS)
    ascending = torch.cat([patterns[:NEGATIVE_PATTERNS].flip(0), patterns[NEGATIVE_PATTERNS:]])
    found = torch.searchsorted(ascending.cumsum(0), ranks, right=True)
    pattern = torch.where(found < NEGATIVE_PATTERNS, -1 - found, found - NEGATIVE_PATTERNS)
    return pattern.to(torch.int16).view(values.dtype)


def sort(values: Tensor) -> Tensor:
    """f32 [n] -> f32 [n], ascending."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy()))  # three times as quick as torch's, which finds positions too
    return values.sort().values
