"""The torch operators of this package: schema, fake, what runs on every device without a kernel of its own, and what an
NVIDIA GPU runs. A kernel for another device plugs in with `fake_quantize.register_kernel(...)`; callers do not change.
"""

import torch
from torch import Tensor

from kbit.kernels import backends
from kbit.kernels.cuda import on_gpu

WEIGHT_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LARGEST_CODEBOOK = 256


@torch.library.custom_op("kbit::fake_quantize", mutates_args=())
def fake_quantize(weight: Tensor, codebook: Tensor, block_size: int, absmax_dtype: torch.dtype) -> Tensor:
    """Quantize and dequantize blockwise (definition: `kbit.kernels.reference`).

    weight [out, in] fp32, fp16 or bf16, finite, any strides; codebook f32 [L <= 256] ascending, on the weight's device;
    block_size: consecutive weights of the row-major matrix that share one absmax, stored as absmax_dtype
    -> contiguous, shape and dtype of weight.
    """
    check_arguments(weight, codebook, block_size)
    return backends.choose(weight).fake_quantize(weight, codebook, block_size, absmax_dtype)


@fake_quantize.register_fake
def _(weight: Tensor, codebook: Tensor, block_size: int, absmax_dtype: torch.dtype) -> Tensor:  # noqa: ARG001 (the schema)
    check_arguments(weight, codebook, block_size)
    return torch.empty_like(weight, memory_format=torch.contiguous_format)


@fake_quantize.register_kernel("cuda")
def _(weight: Tensor, codebook: Tensor, block_size: int, absmax_dtype: torch.dtype) -> Tensor:
    check_arguments(weight, codebook, block_size)
    return on_gpu.fake_quantize(weight, codebook, block_size, absmax_dtype)


@torch.library.custom_op("kbit::fake_quantize_scaled", mutates_args=())
def fake_quantize_scaled(
    weight: Tensor, codebook: Tensor, scale: Tensor, offset: Tensor | None, block_size: int
) -> Tensor:
    """Quantize and dequantize blockwise with scales that are given (definition: `kbit.kernels.reference`).

    weight [out, in] fp32, fp16 or bf16, finite, any strides; codebook f32 [L <= 256] ascending, or [out, L], one for
    each row; scale and, unless None, offset f32 [ceil(out * in / block_size)]; all on the weight's device
    -> contiguous, shape and dtype of weight.
    """
    check_scaled_arguments(weight, codebook, scale, offset, block_size)
    return backends.choose(weight).fake_quantize_scaled(weight, codebook, scale, offset, block_size)


@fake_quantize_scaled.register_fake
def _(weight: Tensor, codebook: Tensor, scale: Tensor, offset: Tensor | None, block_size: int) -> Tensor:
    check_scaled_arguments(weight, codebook, scale, offset, block_size)
    return torch.empty_like(weight, memory_format=torch.contiguous_format)


@fake_quantize_scaled.register_kernel("cuda")
def _(weight: Tensor, codebook: Tensor, scale: Tensor, offset: Tensor | None, block_size: int) -> Tensor:
    check_scaled_arguments(weight, codebook, scale, offset, block_size)
    return on_gpu.fake_quantize_scaled(weight, codebook, scale, offset, block_size)


def check_arguments(weight: Tensor, codebook: Tensor, block_size: int) -> None:
    """What every implementation may rely on. ValueError otherwise."""
    if weight.dtype not in WEIGHT_DTYPES:
        raise ValueError(f"weight is {weight.dtype}, not one of {', '.join(map(str, WEIGHT_DTYPES))}")
    if codebook.dtype != torch.float32 or codebook.dim() != 1 or not 1 <= codebook.numel() <= LARGEST_CODEBOOK:
        raise ValueError(
            f"codebook is {codebook.dtype} {list(codebook.shape)}, not torch.float32 [1 to {LARGEST_CODEBOOK}]"
        )
    if codebook.device != weight.device:
        raise ValueError(f"codebook is on {codebook.device}, the weight on {weight.device}")
    if block_size < 1:
        raise ValueError(f"block_size is {block_size}, not a positive number of weights")


def check_scaled_arguments(
    weight: Tensor, codebook: Tensor, scale: Tensor, offset: Tensor | None, block_size: int
) -> None:
    """As `check_arguments`, for scales that are given. ValueError otherwise."""
    if codebook.dim() == 2 and len(codebook) != len(weight):
        raise ValueError(f"codebook has {len(codebook)} rows, the weight {len(weight)}")
    check_arguments(weight, codebook if codebook.dim() != 2 or not len(codebook) else codebook[0], block_size)
    n_blocks = -(-weight.numel() // block_size)
    for name, stored in {"scale": scale, "offset": scale if offset is None else offset}.items():
        if stored.dtype != torch.float32 or stored.dim() != 1 or stored.numel() != n_blocks:
            raise ValueError(f"{name} is {stored.dtype} {list(stored.shape)}, not torch.float32 [{n_blocks}]")
        if stored.device != weight.device:
            raise ValueError(f"{name} is on {stored.device}, the weight on {weight.device}")
