"""One weight matrix as it is stored: what `kbit.spec.footprint` counts, as tensors, and the weight they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from kbit.kernels import packed_ops
from kbit.kernels.packing import pack_codes, unpack_codes
from kbit.quant.kept import choose_kept, fill_kept
from kbit.quant.quantize import check_finite, check_result, find_codebook, largest_level
from kbit.quant.rotations import ROTATIONS
from kbit.quant.scale_formats import SCALE_FORMATS
from kbit.quant.scales import Scales, check_fits
from kbit.quant.statistics import NO_STATISTICS, Statistics
from kbit.spec.errors import UnsupportedError, UserError
from kbit.spec.members import DATA_TYPES, DEFAULT_ROTATION, DEFAULT_SOLVER
from kbit.spec.quant import CONTROL, QuantSpec

LIMIT = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class PackedWeight:
    """A weight [out, in] under a spec. Which tensors there are, and their layout: docs/packed-models.md."""

    spec: QuantSpec
    shape: tuple[int, int]
    dtype: torch.dtype
    """Of the weight that it stands for."""
    tensors: Mapping[str, Tensor]

    @property
    def n_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())


def check_packable(spec: QuantSpec) -> None:
    """UserError: what this spec's solver or data type chooses cannot be stored as codes by this release."""
    if spec == CONTROL:
        raise UserError("none16 is the 16-bit control: there is nothing to pack")
    if spec.unbuilt:
        raise UserError(f"this release cannot evaluate {', '.join(spec.unbuilt)} (spec {spec.slug})")
    if spec.solver != DEFAULT_SOLVER:
        raise UserError(f"solver {spec.solver!r} of {spec.slug} cannot be packed: {DEFAULT_SOLVER} can")


@torch.no_grad()
def pack_weight(weight: Tensor, spec: QuantSpec, name: str, statistics: Statistics = NO_STATISTICS) -> PackedWeight:
    """weight [out, in] fp32, fp16 or bf16. `unpack_weight` of it equals `quantize_weight` bit for bit.

    Errors as those of `quantize_weight`, naming the tensor `name`, and `check_packable`.
    """
    check_packable(spec)
    largest = check_finite(weight, name)
    shape, dtype = (weight.shape[0], weight.shape[1]), weight.dtype
    is_kept = choose_kept(weight, spec, statistics)
    kept = {}
    if is_kept is not None:
        kept = {"kept": weight[:, is_kept].contiguous(), "kept_mask": pack_codes(is_kept.to(torch.uint8), 1)}
        weight = fill_kept(weight, is_kept, spec)
        largest = weight.abs().max()
    if spec.rotation != DEFAULT_ROTATION:
        weight = ROTATIONS[spec.rotation](weight.float())
        if not torch.isfinite(weight).all():
            raise UnsupportedError(
                f"{name}: its largest weight has magnitude {largest.item():g}; rotated, it leaves fp32"
            )
        largest = weight.abs().max()
    tensors = pack_finite(weight, spec, name, largest, is_kept)
    packed = PackedWeight(spec, shape, dtype, {**tensors, **kept})
    check_result(unpack_weight(packed), largest, name)
    return packed


def pack_finite(
    weight: Tensor, spec: QuantSpec, name: str, largest: Tensor, is_kept: Tensor | None
) -> dict[str, Tensor]:
    """The tensors of a weight without a rotation."""
    scales = Scales(weight, spec, name)
    if scales.absmax_dtype is not None:
        check_fits(largest, scales.absmax_dtype, name)
    codebook = find_codebook(weight, spec, is_kept)
    scales = Scales(weight, spec, name, largest_level(spec, codebook))
    tensors = stored_scales(scales)
    words = packed_ops.quantize_pack_scaled(weight, codebook, spec.bits, scales.scale, scales.offset, scales.block_size)
    if is_kept is not None:
        codes = unpack_codes(words, spec.bits, weight.numel()).view(weight.shape)
        words = pack_codes(codes[:, ~is_kept].contiguous().view(-1), spec.bits)
    if scales.offset is not None:
        offset = scales.offset[:1] if spec.centered == "tensor" else scales.offset
        tensors["offset"] = offset.to(offset_dtype(weight.dtype)).contiguous()
    if DATA_TYPES[spec.data_type].table:
        tensors["levels"] = stored_levels(codebook, spec.bits)
    return {"words": words, **tensors}


def stored_levels(codebook: Tensor, bits: int) -> Tensor:
    """Learned levels, in fp16 where they are of 16 bits, filled up to 2^bits with the last one.

    Quantiles are weights over an absmax, in fp32, of which those that repeat have been left out.
    """
    missing = 2**bits - codebook.shape[-1]
    levels = torch.cat([codebook, codebook[..., -1:].expand(*codebook.shape[:-1], missing)], dim=-1)
    halved = levels.half()
    return halved if torch.equal(halved.float(), levels) else levels


def stored_scales(scales: Scales) -> dict[str, Tensor]:
    """The scale format's own tensors, on the CPU's terms: `scale` [blocks], and what comes once or for superblocks."""
    if scales.scale_dtype is not None:
        return {"scale": scales.scale.to(scales.scale_dtype)}
    return dict(SCALE_FORMATS[scales.spec.scale_format].encode(scales.extent, scales.largest_level))


def read_scales(packed: PackedWeight) -> Tensor:
    """Scales as they are computed with: f32, or the 16-bit dtype they are stored in, [blocks]."""
    scale_format = SCALE_FORMATS[packed.spec.scale_format]
    if hasattr(scale_format, "dtype"):
        return packed.tensors["scale"]
    return scale_format.decode(packed.tensors).clamp(-LIMIT, LIMIT)


def read_offsets(packed: PackedWeight, n_blocks: int) -> Tensor | None:
    """f32 [blocks], or None where nothing is subtracted."""
    offset = packed.tensors.get("offset")
    return None if offset is None else offset.float().expand(n_blocks).contiguous()


def read_codebook(packed: PackedWeight) -> Tensor:
    """f32 [L] or [out, L]: the stored levels, or those that the spec itself says."""
    if (levels := packed.tensors.get("levels")) is not None:
        return levels.float()
    device = packed.tensors["words"].device
    return find_codebook(torch.empty(packed.shape, dtype=packed.dtype, device=device), packed.spec, None)


def block_size_of(packed: PackedWeight) -> int:
    """Consecutive weights that share a scale."""
    return Scales(torch.empty(packed.shape, device="meta"), packed.spec, "").block_size


@torch.no_grad()
def unpack_weight(packed: PackedWeight) -> Tensor:
    """The weight [out, in] in its dtype, as the model computes with it."""
    scale, words = read_scales(packed), packed.tensors["words"]
    offset = read_offsets(packed, len(scale))
    (rows, width), bits = packed.shape, packed.spec.bits
    is_kept = None
    if "kept" in packed.tensors:
        is_kept = unpack_codes(packed.tensors["kept_mask"], 1, width).bool()
        words = spread_codes(words, is_kept, rows, bits)
    is_rotated = packed.spec.rotation != DEFAULT_ROTATION
    weight = packed_ops.unpack_dequantize(
        words, read_codebook(packed), bits, scale, offset, block_size_of(packed), rows, width,
        torch.float32 if is_rotated else packed.dtype,
    )  # fmt: skip
    if is_rotated:
        weight = ROTATIONS[packed.spec.rotation](weight).to(packed.dtype)
    if is_kept is not None:
        weight[:, is_kept] = packed.tensors["kept"]
    return weight


def spread_codes(words: Tensor, is_kept: Tensor, rows: int, bits: int) -> Tensor:
    """Words of the codes of all inputs, from those of the ones that are not kept; a kept one's code is 0."""
    n_others = int((~is_kept).sum())
    codes = torch.zeros(rows, len(is_kept), dtype=torch.uint8, device=words.device)
    codes[:, ~is_kept] = unpack_codes(words, bits, rows * n_others).view(rows, n_others)
    return pack_codes(codes.view(-1), bits)


def offset_dtype(dtype: torch.dtype) -> torch.dtype:
    """The 16 bits of a stored minimum or mean."""
    return torch.float16 if dtype == torch.float32 else dtype
