"""The torch operators of packed weights: schema, fake, what runs everywhere, and what an NVIDIA GPU runs.

bits: width of a code, at least log2 of the levels of the codebook. Everything else as in `kbit.kernels.ops`; words,
scales and offsets are on the device of the weight or of x.
"""

import torch
from torch import Tensor

from kbit.kernels import backends, packed
from kbit.kernels.cuda import on_gpu
from kbit.kernels.ops import WEIGHT_DTYPES, check_arguments, check_scaled_arguments
from kbit.kernels.packing import check_bits, count_words


@torch.library.custom_op("kbit::quantize_pack", mutates_args=())
def quantize_pack(
    weight: Tensor, codebook: Tensor, bits: int, block_size: int, absmax_dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Codes of a weight [out, in] with the absmax of its blocks -> words i32 [count_words(n, bits)], absmax [blocks].

    absmax in absmax_dtype; it is the stored one that weights are divided by.
    """
    check_arguments(weight, codebook, block_size)
    check_width(codebook, bits)
    backends.record(backends.EAGER)
    return packed.quantize_pack(weight, codebook, bits, block_size, absmax_dtype)


@quantize_pack.register_fake
def _(weight: Tensor, codebook: Tensor, bits: int, block_size: int, absmax_dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    check_arguments(weight, codebook, block_size)
    check_width(codebook, bits)
    n = weight.numel()
    words = weight.new_empty(count_words(n, bits), dtype=torch.int32)
    return words, weight.new_empty((n + block_size - 1) // block_size, dtype=absmax_dtype)


@quantize_pack.register_kernel("cuda")
def _(weight: Tensor, codebook: Tensor, bits: int, block_size: int, absmax_dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    check_arguments(weight, codebook, block_size)
    check_width(codebook, bits)
    return on_gpu.quantize_pack(weight, codebook, bits, block_size, absmax_dtype)


@torch.library.custom_op("kbit::quantize_pack_scaled", mutates_args=())
def quantize_pack_scaled(
    weight: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int
) -> Tensor:
    """Codes of a weight [out, in] with scales and offsets f32 [blocks] that are given -> words i32."""
    check_scaled_arguments(weight, codebook, scale, offset, block_size)
    check_width(codebook, bits)
    backends.record(backends.EAGER)
    return packed.quantize_pack_scaled(weight, codebook, bits, scale, offset, block_size)


@quantize_pack_scaled.register_fake
def _(weight: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int) -> Tensor:
    check_scaled_arguments(weight, codebook, scale, offset, block_size)
    check_width(codebook, bits)
    return weight.new_empty(count_words(weight.numel(), bits), dtype=torch.int32)


@quantize_pack_scaled.register_kernel("cuda")
def _(weight: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int) -> Tensor:
    check_scaled_arguments(weight, codebook, scale, offset, block_size)
    check_width(codebook, bits)
    if codebook.dim() == 2:  # packed once, when a model is exported: torch's own operations will do
        backends.record(backends.EAGER)
        return packed.quantize_pack_scaled(weight, codebook, bits, scale, offset, block_size)
    return on_gpu.quantize_pack_scaled(weight, codebook, bits, scale, offset, block_size)


@torch.library.custom_op("kbit::unpack_dequantize", mutates_args=())
def unpack_dequantize(
    words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int, n_inputs: int, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """words i32, scale fp32, fp16 or bf16 [blocks], offset f32 [blocks] or None -> the weight [out, in] in dtype."""
    check_packed(words, codebook, bits, scale, offset, block_size, n_outputs, n_inputs)
    return packed.unpack_dequantize(words, codebook, bits, scale, offset, block_size, (n_outputs, n_inputs), dtype)


@unpack_dequantize.register_fake
def _(
    words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int, n_inputs: int, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    check_packed(words, codebook, bits, scale, offset, block_size, n_outputs, n_inputs)
    return words.new_empty(n_outputs, n_inputs, dtype=dtype)


@unpack_dequantize.register_kernel("cuda")
def _(
    words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int, n_inputs: int, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    check_packed(words, codebook, bits, scale, offset, block_size, n_outputs, n_inputs)
    if codebook.dim() == 2:
        return packed.unpack_dequantize(words, codebook, bits, scale, offset, block_size, (n_outputs, n_inputs), dtype)
    return on_gpu.unpack_dequantize(words, codebook, bits, scale, offset, block_size, (n_outputs, n_inputs), dtype)


@torch.library.custom_op("kbit::gemv", mutates_args=())
def gemv(
    x: Tensor, words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int,
) -> Tensor:  # fmt: skip
    """x [rows, in] fp32, fp16 or bf16 times the packed W [out, in], transposed -> [rows, out] in the dtype of x.

    Sums in fp32, of products of weights that are not rounded to 16 bits. A GPU takes what
    `kbit.kernels.cuda.gemv.takes` says, and refuses the rest.
    """
    check_product(x, words, codebook, bits, scale, offset, block_size, n_outputs)
    return packed.multiply(x, words, codebook, bits, scale, offset, block_size, n_outputs)


@gemv.register_fake
def _(
    x: Tensor, words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int,
) -> Tensor:  # fmt: skip
    check_product(x, words, codebook, bits, scale, offset, block_size, n_outputs)
    return x.new_empty(x.shape[0], n_outputs)


@gemv.register_kernel("cuda")
def _(
    x: Tensor, words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int,
) -> Tensor:  # fmt: skip
    check_product(x, words, codebook, bits, scale, offset, block_size, n_outputs)
    return on_gpu.multiply(x, words, codebook, bits, scale, offset, block_size, n_outputs)


def check_width(codebook: Tensor, bits: int) -> None:
    """ValueError: codes of so many bits cannot name every level."""
    check_bits(bits)
    if codebook.shape[-1] > 2**bits:
        raise ValueError(f"bits is {bits}, too few for a codebook of {codebook.shape[-1]} levels")


def check_packed(
    words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int, n_inputs: int,
) -> None:  # fmt: skip
    """What every implementation may rely on. ValueError otherwise."""
    check_width(codebook, bits)
    n = n_outputs * n_inputs
    if words.dtype != torch.int32 or words.dim() != 1 or words.numel() != count_words(n, bits):
        raise ValueError(f"words is {words.dtype} {list(words.shape)}, not torch.int32 [{count_words(n, bits)}]")
    if codebook.dtype != torch.float32 or (codebook.dim() == 2 and len(codebook) != n_outputs):
        raise ValueError(f"codebook is {codebook.dtype} {list(codebook.shape)}, not torch.float32 [L] or [out, L]")
    if block_size < 1:
        raise ValueError(f"block_size is {block_size}, not a positive number of weights")
    n_blocks = (n + block_size - 1) // block_size
    if scale.dtype not in WEIGHT_DTYPES or scale.dim() != 1 or scale.numel() != n_blocks:
        raise ValueError(f"scale is {scale.dtype} {list(scale.shape)}, not fp32, fp16 or bf16 [{n_blocks}]")
    if offset is not None and (offset.dtype != torch.float32 or offset.shape != scale.shape):
        raise ValueError(f"offset is {offset.dtype} {list(offset.shape)}, not torch.float32 [{n_blocks}]")
    for name, tensor in {"codebook": codebook, "scale": scale, "offset": scale if offset is None else offset}.items():
        if tensor.device != words.device:
            raise ValueError(f"{name} is on {tensor.device}, the words on {words.device}")


def check_product(
    x: Tensor, words: Tensor, codebook: Tensor, bits: int, scale: Tensor, offset: Tensor | None, block_size: int,
    n_outputs: int,
) -> None:  # fmt: skip
    """As `check_packed`. ValueError otherwise."""
    if x.dtype not in WEIGHT_DTYPES or x.dim() != 2:
        raise ValueError(f"x is {x.dtype} {list(x.shape)}, not fp32, fp16 or bf16 [rows, in]")
    if x.device != words.device:
        raise ValueError(f"x is on {x.device}, the words on {words.device}")
    check_packed(words, codebook, bits, scale, offset, block_size, n_outputs, x.shape[1])
