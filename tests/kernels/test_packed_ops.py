"""The operators of packed weights against the definition, and their schema and fakes."""

import pytest
import torch

from kbit.kernels import packed, packed_ops, reference
from kbit.kernels.packing import unpack_codes

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def random_weight(shape: tuple[int, int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.fixture(params=[1 << 20, 96], ids=["one piece", "pieces"])
def pieces(request, monkeypatch):
    """Also with pieces so short that groups, rows and blocks straddle them."""
    monkeypatch.setattr(packed, "PIECE_WEIGHTS", request.param)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("block_size", [16, 64, 100, 4096])
def test_packed_and_unpacked_is_fake_quantized(bits: int, block_size: int, dtype: torch.dtype):
    weight, codebook = random_weight((13, 41), dtype), torch.linspace(-1, 1, 2**bits - 1)
    words, absmax = packed_ops.quantize_pack(weight, codebook, bits, block_size, torch.float16)
    result = packed_ops.unpack_dequantize(words, codebook, bits, absmax, None, block_size, 13, 41, dtype)
    assert torch.equal(result, reference.fake_quantize(weight, codebook, block_size, torch.float16))
    assert int(unpack_codes(words, bits, weight.numel()).max()) == 2**bits - 2


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("has_offset", [False, True])
@pytest.mark.parametrize("per_row", [False, True])
def test_with_scales_that_are_given(has_offset: bool, per_row: bool):
    generator = torch.Generator().manual_seed(1)
    weight, block_size = random_weight((9, 50)), 64
    levels = torch.rand((9, 8) if per_row else (8,), generator=generator).mul(2).sub(1).sort().values
    scale = torch.randn(8, generator=generator)
    scale[3] = 0.0
    offset = torch.randn(8, generator=generator) if has_offset else None
    words = packed_ops.quantize_pack_scaled(weight, levels, 4, scale, offset, block_size)
    result = packed_ops.unpack_dequantize(words, levels, 4, scale, offset, block_size, 9, 50, torch.float32)
    assert torch.equal(result, reference.fake_quantize_scaled(weight, levels, scale, offset, block_size))


def test_product_equals_that_with_the_unpacked_weight():
    weight, codebook, x = random_weight((24, 64)), torch.linspace(-1, 1, 7), random_weight((3, 64))
    words, absmax = packed_ops.quantize_pack(weight, codebook, 3, 32, torch.float32)
    expected = x @ reference.fake_quantize(weight, codebook, 32, torch.float32).t()
    assert torch.equal(packed_ops.gemv(x, words, codebook, 3, absmax, None, 32, 24), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_opcheck(dtype: torch.dtype):
    """Schema (nothing mutated or aliased), fake and real result agree, also under tracing with dynamic shapes."""
    weight, codebook = random_weight((8, 64), dtype), torch.linspace(-1, 1, 15)
    words, absmax = packed_ops.quantize_pack(weight, codebook, 4, 32, torch.float16)
    scale = absmax.float()
    torch.library.opcheck(packed_ops.quantize_pack, (weight, codebook, 4, 32, torch.float16))
    torch.library.opcheck(packed_ops.quantize_pack_scaled, (weight, codebook, 4, scale, scale / 2, 32))
    torch.library.opcheck(packed_ops.unpack_dequantize, (words, codebook, 4, absmax, None, 32, 8, 64, dtype))
    torch.library.opcheck(packed_ops.gemv, (weight[:2], words, codebook, 4, scale, scale / 2, 32, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 2}, "bits is 2, too few for a codebook of 15 levels"),
        ({"bits": 9}, "bits is 9, not 1 to 8"),
        ({"words": torch.zeros(3, dtype=torch.int32)}, r"words is torch.int32 \[3\], not torch.int32 \[64\]"),
        ({"scale": torch.zeros(15)}, r"scale is torch.float32 \[15\], not fp32, fp16 or bf16 \[16\]"),
        ({"offset": torch.zeros(15)}, r"offset is torch.float32 \[15\], not torch.float32 \[16\]"),
        ({"scale": torch.zeros(16, device="meta")}, "scale is on meta, the words on cpu"),
        ({"block_size": 0}, "block_size is 0"),
    ],
)
def test_refuses(change: dict[str, object], message: str):
    arguments = {
        "words": torch.zeros(64, dtype=torch.int32), "codebook": torch.linspace(-1, 1, 15), "bits": 4,
        "scale": torch.ones(16), "offset": None, "block_size": 32, "n_outputs": 8, "n_inputs": 64,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        packed_ops.check_packed(**{**arguments, **change})
