"""The CUDA kernels on a GPU, through the operators: the bits of the definition, for every data type and shape."""

import secrets

import pytest
import torch
from torch import Tensor

from kbit.kernels import backends, ops, packed, packed_ops, reference
from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS
from kbit.spec.members import DATA_TYPES
from kbit.spec.methods import all_specs
from kbit.spec.quant import QuantSpec

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
SHAPES = [(1, 1), (3, 7), (64, 64), (129, 257), (1000, 1031)]
BLOCK_SIZES = [16, 64, 100, 1024, 4096]
SPECS = [spec for spec in all_specs() if not spec.needed_statistics]


@pytest.fixture
def seed(record_property) -> int:
    """Another one in every run; a failure names it."""
    value = secrets.randbits(31)
    record_property("seed", value)
    print(f"seed {value}")
    return value


def random_weight(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    weight *= 10 ** torch.empty(()).uniform_(-4, 2, generator=generator)
    if weight.numel() > 300:
        weight.view(-1)[100:280] = 0.0
    return weight.to(dtype)


def assert_same_bits(result: Tensor, expected: Tensor) -> None:
    as_integers = {4: torch.int32, 2: torch.int16}[expected.element_size()]
    assert result.device.type == "cuda"
    assert torch.equal(result.cpu().view(as_integers), expected.view(as_integers))


def test_cuda_kernels_quantize(seed):
    with backends.watch(seen := set()):
        ops.fake_quantize(
            random_weight((64, 64), DTYPES[0], seed).cuda(), torch.linspace(-1, 1, 15).cuda(), 64, DTYPES[1]
        )
    assert seen == {"cuda"}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bits", range(2, 9))
def test_fake_quantize(bits: int, dtype: torch.dtype, seed: int):
    generator = torch.Generator().manual_seed(seed)
    book = torch.cat([torch.tensor([-1.0, 1.0]), torch.rand(2**bits - 3, generator=generator) * 2 - 1]).sort().values
    for codebook in (book, torch.linspace(-1, 1, 2**bits - 1)):
        for shape in SHAPES:
            weight = random_weight(shape, dtype, seed)
            for block_size in (*BLOCK_SIZES, shape[1], weight.numel()):
                for absmax_dtype in (torch.float16, torch.bfloat16, torch.float32):
                    expected = reference.fake_quantize(weight, codebook, block_size, absmax_dtype)
                    result = ops.fake_quantize(weight.cuda(), codebook.cuda(), block_size, absmax_dtype)
                    assert_same_bits(result, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("has_offset", [False, True])
def test_fake_quantize_scaled(has_offset: bool, per_row: bool, dtype: torch.dtype, seed: int):
    generator = torch.Generator().manual_seed(seed)
    for bits in range(2, 9):
        weight = random_weight((65, 131), dtype, seed)
        shape = (65, 2**bits) if per_row else (2**bits,)
        codebook = (torch.rand(shape, generator=generator) * 2 - 1).sort().values
        for block_size in (*BLOCK_SIZES, 131):
            n_blocks = -(-weight.numel() // block_size)
            scale = torch.randn(n_blocks, generator=generator)
            scale[::5] = 0.0
            offset = torch.randn(n_blocks, generator=generator) if has_offset else None
            expected = reference.fake_quantize_scaled(weight, codebook, scale, offset, block_size)
            on_gpu = [None if tensor is None else tensor.cuda() for tensor in (weight, codebook, scale, offset)]
            assert_same_bits(ops.fake_quantize_scaled(*on_gpu, block_size), expected)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.slug)
def test_every_method_gives_the_bits_of_the_cpu(spec: QuantSpec, seed: int):
    for dtype in DTYPES:
        weight = random_weight((96, 192), dtype, seed) * 0.01
        assert_same_bits(quantize_weight(weight.cuda(), spec, "w"), quantize_weight(weight, spec, "w"))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bits", range(2, 9))
def test_packing(bits: int, dtype: torch.dtype, seed: int):
    codebook = torch.linspace(-1, 1, 2**bits - 1)
    for shape in SHAPES:
        weight = random_weight(shape, dtype, seed)
        for block_size in (*BLOCK_SIZES, weight.numel()):
            words, absmax = packed.quantize_pack(weight, codebook, bits, block_size, torch.float16)
            ours, stored = packed_ops.quantize_pack(weight.cuda(), codebook.cuda(), bits, block_size, torch.float16)
            assert torch.equal(ours.cpu(), words)
            assert torch.equal(stored.cpu(), absmax)
            poison_memory()
            result = packed_ops.unpack_dequantize(ours, codebook.cuda(), bits, stored, None, block_size, *shape, dtype)
            assert_same_bits(result, reference.fake_quantize(weight, codebook, block_size, torch.float16))


def poison_memory() -> None:
    """What the allocator hands out next holds NaNs: an output that is not fully written shows."""
    del_me = [torch.full((1 << 22,), torch.nan, device="cuda") for _ in range(4)]
    del del_me


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bits", range(2, 9))
def test_gemv(bits: int, dtype: torch.dtype, seed: int):
    """Against the product in float64 of the unpacked weight: fp32 sums of in products, rounded to the dtype."""
    codebook = torch.linspace(-1, 1, 2**bits - 1).cuda()
    for n_outputs, n_inputs in ((8, 32), (100, 96), (257, 1024), (64, 11008)):
        weight = torch.randn(n_outputs, n_inputs, generator=torch.Generator().manual_seed(seed)).cuda()
        words, absmax = packed_ops.quantize_pack(weight, codebook, bits, 32, torch.float16)
        exact = packed_ops.unpack_dequantize(
            words, codebook, bits, absmax, None, 32, n_outputs, n_inputs, torch.float32
        ).double()
        for n_rows in range(1, 5):
            x = torch.randn(n_rows, n_inputs, device="cuda").to(dtype)
            result = packed_ops.gemv(x, words, codebook, bits, absmax, None, 32, n_outputs).double()
            expected = x.double() @ exact.t()
            # A sum of n products in fp32 is off by n / 2 ulps of the sum of magnitudes at most, by its root as a rule.
            bound = (x.double().abs() @ exact.abs().t()) * 2**-24 * n_inputs**0.5 * 4
            assert ((result - expected).abs() <= bound + expected.abs() * torch.finfo(dtype).eps).all()


def test_more_weights_than_32_bits_count(seed):
    """2^31 + 64 weights: the last blocks lie beyond what 32-bit indices reach."""
    free, _ = torch.cuda.mem_get_info()
    if free < 14e9:
        pytest.skip("needs 14 GB of free GPU memory")
    n = (1 << 31) + 64
    weight = torch.zeros(1, n, dtype=torch.bfloat16, device="cuda")
    tail = random_weight((1, 4096), torch.bfloat16, seed)
    weight[:, -4096:] = tail.cuda()
    codebook = torch.linspace(-1, 1, 15)
    result = ops.fake_quantize(weight, codebook.cuda(), 64, torch.bfloat16)
    assert_same_bits(result[:, -4096:].contiguous(), reference.fake_quantize(tail, codebook, 64, torch.bfloat16))
    assert not result[:, :-4096].any()


def test_learned_codebooks_of_rows(seed):
    spec = QuantSpec(data_type="kmeans", bits=4, block_size="row")
    assert DATA_TYPES["kmeans"].table
    weight = random_weight((32, 256), torch.bfloat16, seed)
    assert CODEBOOKS["kmeans"](spec, weight.cuda()).dim() in (1, 2)
    assert_same_bits(quantize_weight(weight.cuda(), spec, "w"), quantize_weight(weight, spec, "w"))


def test_opcheck():
    weight, codebook = torch.randn(8, 64, device="cuda").bfloat16(), torch.linspace(-1, 1, 15, device="cuda")
    torch.library.opcheck(ops.fake_quantize, (weight, codebook, 16, torch.float16))
    words, absmax = packed_ops.quantize_pack(weight, codebook, 4, 32, torch.float16)
    torch.library.opcheck(packed_ops.quantize_pack, (weight, codebook, 4, 32, torch.float16))
    torch.library.opcheck(packed_ops.gemv, (weight[:2], words, codebook, 4, absmax, None, 32, 8))
