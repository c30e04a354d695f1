"""`dynamic`: the dynamic exponent data type, decades of linearly spaced levels."""

import torch
from torch import Tensor

from kbit.spec.quant import QuantSpec


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """Decades i = 0 .. k-2: the midpoints of 2^i equal parts of [0.1, 1], times 10^(i - k + 2), both signs; and 0, 1.

    The run of zero bits before the first one is the exponent, the bits behind it are the fraction. There is no -1: the
    most negative level is -(1 - 0.45 / 2^(k-2)), so the extreme of a block is damped if it is negative.
    Dettmers & Zettlemoyer (2023), section 2.3; Dettmers et al. (2022), 8-bit optimizers. Returns f32 [2^k].
    """
    decades = spec.bits - 1
    magnitudes = [
        (0.1 + 0.9 * (torch.arange(2**i, dtype=torch.float64) + 0.5) / 2**i) * 10.0 ** (i - decades + 1)
        for i in range(decades)
    ]
    positive = torch.cat(magnitudes)  # decades do not overlap, so this ascends
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return torch.cat([-positive.flip(0), ends[:1], positive, ends[1:]]).float().to(weight.device)
