"""`gptq`: inputs in turn, each rounded to make up for the errors of those before it.

What is kept small is the error of the layer's outputs, the mean over calibration inputs x of |(W - Q) x|^2, instead of
that of its weights. With H the mean of x x^T and R the upper triangular matrix of H = R R^T, it is |(W - Q) R|^2, whose
column j knows the errors e_i = w_i - q_i of inputs i <= j alone: it is R_jj (w_j + sum over i < j of e_i R_ij / R_jj
- q_j). So input j takes the levels nearest to w_j plus that sum; what comes later can make up for the rest.

These are the weights of GPTQ (Frantar et al. 2023, arXiv 2210.17323), which reaches them by updating W with rows of the
Cholesky factor of H^-1; here nothing is inverted, and W is never overwritten. Scales are those of the pristine weight
(`static_groups` of GPTQ's code), so that every data type, scale format, block size and order of inputs is at hand, and
independent inputs give what `rtn` gives, bit for bit.

H is factorized in float64, all else is fp32. The same bits come of the same number of threads on the same machine:
libraries of linear algebra split sums by threads, and differ between devices.
"""

import torch
from torch import Tensor

from kbit.kernels.reference import reciprocal
from kbit.quant.scales import Scales
from kbit.quant.statistics import Statistics
from kbit.spec.errors import UnsupportedError, UserError

BATCH_INPUTS = 128
"""Inputs worked on before their errors reach the later ones, all at once: a product of matrices."""
COPIED_INPUTS = 1024
"""Brought into order at a time, so that no second matrix of moments is needed."""
MORE_DAMPING = 10.0
"""What the damping is multiplied by while H is not positive definite, up to MOST_DAMPING."""
MOST_DAMPING = 1.0


@torch.no_grad()
def solve(weight: Tensor, codebook: Tensor, scales: Scales, statistics: Statistics) -> Tensor:
    """By `statistics.second_moments` f32 or f64 [in, in], the mean of x x^T, in any scale.

    An input that is always 0 takes the nearest levels, as no output depends on it. UserError without moments;
    UnsupportedError, naming the tensor: they are not finite, or no damping makes them positive definite.
    """
    moments = statistics.second_moments
    if moments is None:
        raise UserError(f"{scales.name}: solver gptq needs inputs to calibrate on (key `calibration` of the study)")
    order = input_order(moments, scales.spec.act_order)
    ratios = error_ratios(moments, order, scales.spec.damping, scales.name)
    pristine = weight.t()[order].float()
    errors = torch.empty_like(pristine)
    result = torch.empty_like(weight, memory_format=torch.contiguous_format)
    for first in range(0, len(order), BATCH_INPUTS):
        batch = slice(first, first + BATCH_INPUTS)
        targets = torch.addmm(pristine[batch], ratios[:first, batch].t(), errors[:first])
        rounding = Rounding(codebook, scales, order[batch])
        values = round_batch(targets, pristine[batch], ratios[batch, batch], rounding, errors[batch])
        result[:, order[batch]] = values.t().to(weight.dtype)
    return result


def input_order(moments: Tensor, act_order: bool) -> Tensor:
    """int64 [in]: the inputs as they come, or those of the largest mean square first (GPTQ's `act_order`)."""
    if act_order:
        return moments.diagonal().argsort(descending=True, stable=True)
    return torch.arange(len(moments), device=moments.device)


def error_ratios(moments: Tensor, order: Tensor, damping: float, name: str) -> Tensor:
    """R_ij / R_jj for i < j of inputs in an order, f32 [in, in]; what is not above the diagonal means nothing.

    damping: what is added to the diagonal of H, as a share of its mean over inputs that are not always 0.
    """
    factor = factorize(moments, order.flip(0), damping, name)
    ratios = factor.div_(factor.diagonal().clone()).float()
    del factor  # 8 bytes an entry: the matrices of a wide layer decide what a GPU has room for
    return ratios.flip(0, 1)


def factorize(moments: Tensor, order: Tensor, damping: float, name: str) -> Tensor:
    """The lower triangular factor of the damped H of inputs in an order, f64 [in, in].

    With the order reversed it is R reversed.
    """
    diagonal = moments.diagonal()[order].double()
    if not torch.isfinite(diagonal).all():
        raise UnsupportedError(f"{name}: its calibration inputs are not finite, or their squares are beyond float32")
    is_dead = diagonal == 0
    mean = diagonal.sum() / (~is_dead).sum().clamp_min(1)
    diagonal[is_dead] = 1.0
    # Symmetric, so that its transpose, which lies as LAPACK wants it, is the same matrix, factorized where it lies.
    matrix = torch.empty_like(moments, dtype=torch.float64, memory_format=torch.contiguous_format).t()
    failed = torch.empty((), dtype=torch.int32, device=moments.device)
    while damping <= MOST_DAMPING:
        fill_ordered(matrix, moments, order)
        matrix.diagonal().copy_(diagonal + damping * mean)
        torch.linalg.cholesky_ex(matrix, out=(matrix, failed))
        if not failed:
            return matrix
        damping *= MORE_DAMPING
    raise UnsupportedError(f"{name}: the second moments of its calibration inputs are not positive definite")


def fill_ordered(matrix: Tensor, moments: Tensor, order: Tensor) -> None:
    """matrix [in, in] = the symmetric moments of inputs in an order, some columns at a time."""
    for first in range(0, len(order), COPIED_INPUTS):
        columns = order[first : first + COPIED_INPUTS]
        matrix[:, first : first + COPIED_INPUTS] = moments[columns][:, order].t()


def round_batch(targets: Tensor, pristine: Tensor, ratios: Tensor, rounding: "Rounding", errors: Tensor) -> Tensor:
    """Round a batch of inputs one after the other; their values f32 [batch, out], as they are stored.

    targets [batch, out]: pristine weights less what earlier batches got wrong, overwritten; pristine [batch, out];
    ratios [batch, batch]; errors [batch, out]: written.
    """
    values = torch.empty_like(targets)
    for i in range(len(targets)):
        values[i] = rounding.nearest(targets[i], i)
        torch.sub(pristine[i], values[i], out=errors[i])
        targets[i + 1 :].addr_(ratios[i, i + 1 :], errors[i])
    return values


class Rounding:
    """Rounds the weights of some inputs to the levels of their blocks, by the rule of `kbit.kernels.reference`."""

    def __init__(self, codebook: Tensor, scales: Scales, inputs: Tensor) -> None:
        """inputs: int64 [batch]."""
        out, width = scales.weight.shape
        rows = torch.arange(out, device=inputs.device)
        blocks = (rows * width + inputs[:, None]) // scales.block_size
        self._dtype = scales.weight.dtype
        self._codebook = codebook
        self._thresholds = ((codebook[..., 1:] + codebook[..., :-1]) * 0.5).contiguous()
        self._scale = scales.scale[blocks]
        self._offset = None if scales.offset is None else scales.offset[blocks]
        self._inverse = reciprocal(self._scale)
        self._is_zero = self._inverse == 0

    def nearest(self, target: Tensor, i: int) -> Tensor:
        """f32 [out] -> f32 [out], of the i-th input of the batch; as the weight's dtype holds it."""
        offset = None if self._offset is None else self._offset[i]
        t = (target if offset is None else target - offset) * self._inverse[i]
        y = (self._levels(t) * self._scale[i]).masked_fill_(self._is_zero[i], 0.0)
        return (y if offset is None else y + offset).to(self._dtype).float()

    def _levels(self, t: Tensor) -> Tensor:
        """Of one codebook, or of that of each row."""
        if self._codebook.dim() == 1:
            return self._codebook[torch.bucketize(t, self._thresholds)]
        return self._codebook.gather(1, torch.searchsorted(self._thresholds, t[:, None]))[:, 0]
