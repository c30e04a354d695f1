"""The kernels' own source, thread by thread on this processor, against the definition: the same bits.

A GPU runs the same source; what it alone shows (its compiler, races, speed) is for tests/gpu and bench/kernels_gpu.py.
"""

import itertools

import pytest
import torch
from quant_specs import every_spec, slug

from kbit.kernels import reference
from kbit.kernels.cuda import fake_quantize, gemv, packed
from kbit.kernels.cuda.tables import build_row_tables, build_tables
from kbit.kernels.packing import pack_codes, unpack_codes
from kbit.quant.codebooks import CODEBOOKS
from kbit.spec.quant import QuantSpec

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
WIDTHS_AND_DTYPES = list(zip(range(2, 9), itertools.cycle(DTYPES), strict=False))


def assert_same_bits(result: torch.Tensor, expected: torch.Tensor) -> None:
    as_integers = torch.int32 if expected.dtype == torch.float32 else torch.int16
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    assert torch.equal(result.view(as_integers), expected.view(as_integers))


def random_codebook(bits: int, seed: int = 0) -> torch.Tensor:
    """2^bits - 1 levels with ends at -1 and 1; from 6 bits on, on a grid that cells of the number line can tell."""
    levels = torch.rand(2**bits - 1, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    levels[:2] = torch.tensor([-1.0, 1.0])
    return (levels if bits < 6 else torch.linspace(-1, 1, 2**bits - 1)).sort().values


def random_weight(dtype: torch.dtype, shape: tuple[int, int] = (13, 331)) -> torch.Tensor:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    weight.view(-1)[:200] = 0.0
    weight.view(-1)[200:300] *= 1e-6
    return weight.to(dtype)


@pytest.mark.parametrize(("bits", "dtype"), WIDTHS_AND_DTYPES, ids=str)
def test_fake_quantize(run, bits: int, dtype: torch.dtype):
    """Blocks that vectors fit, blocks that none fits, a short last one, rows, the whole tensor."""
    codebook, weight = random_codebook(bits), random_weight(dtype)
    tables = build_tables(codebook)
    assert tables.use_cells == (bits >= 6)
    absmax_dtype = torch.bfloat16 if dtype == torch.bfloat16 else torch.float16
    run.kernels.clear()
    for block_size in (16, 64, 100, 256, 331, 1024, 4303):
        expected = reference.fake_quantize(weight, codebook, block_size, absmax_dtype)
        assert_same_bits(fake_quantize.fake_quantize(weight, tables, block_size, absmax_dtype, run), expected)
    assert {"blocks_1", "strips", "absmax_of_all", "given"} <= set(run.kernels)


@pytest.mark.parametrize("has_offset", [False, True])
@pytest.mark.parametrize("block_size", [16, 331, 512, 5000])
def test_a_codebook_for_each_row(run, block_size: int, has_offset: bool):
    generator = torch.Generator().manual_seed(3)
    weight = random_weight(torch.float16)
    books = (torch.rand(13, 15, generator=generator) * 2 - 1).sort().values
    n_blocks = -(-weight.numel() // block_size)
    scale = torch.randn(n_blocks, generator=generator)
    offset = torch.randn(n_blocks, generator=generator) if has_offset else None
    expected = reference.fake_quantize_scaled(weight, books, scale, offset, block_size)
    result = fake_quantize.fake_quantize_rows(weight, build_row_tables(books), scale, offset, block_size, run)
    assert_same_bits(result, expected)


def test_unaligned_and_transposed(run):
    codebook, dtype = random_codebook(3), torch.float16
    tables = build_tables(codebook)
    flat = random_weight(dtype).view(-1)
    for weight in (flat[3 : 3 + 640].view(10, 64), random_weight(dtype, (64, 48)).t()):
        expected = reference.fake_quantize(weight.contiguous(), codebook, 64, torch.float16)
        assert_same_bits(fake_quantize.fake_quantize(weight, tables, 64, torch.float16, run), expected)


@pytest.mark.parametrize("block_size", [16, 100, 512, 5000])
@pytest.mark.parametrize("has_offset", [False, True])
def test_fake_quantize_scaled(run, block_size: int, has_offset: bool):
    """Scales of any sign, and blocks of zeros."""
    codebook, weight = random_codebook(4), random_weight(torch.bfloat16)
    generator = torch.Generator().manual_seed(2)
    n_blocks = -(-weight.numel() // block_size)
    scale = torch.randn(n_blocks, generator=generator)
    scale[::3] = 0.0
    offset = torch.randn(n_blocks, generator=generator) if has_offset else None
    expected = reference.fake_quantize_scaled(weight, codebook, scale, offset, block_size)
    result = fake_quantize.fake_quantize_scaled(weight, build_tables(codebook), scale, offset, block_size, run)
    assert_same_bits(result, expected)


@pytest.mark.parametrize("spec", every_spec(), ids=slug)
def test_every_threshold_and_its_neighbours(run, spec: QuantSpec):
    """Of each data type and width: ties go down, one unit in the last place above them goes up."""
    codebook = CODEBOOKS[spec.data_type](spec, random_weight(torch.float32, (4, 1000)))
    if codebook.dim() == 2:
        codebook = codebook[0]
    thresholds = reference.midpoints(codebook)
    above, below = (torch.nextafter(thresholds, thresholds.new_full((1,), end)) for end in (torch.inf, -torch.inf))
    random = torch.rand(500, generator=torch.Generator().manual_seed(3)) * 2.2 - 1.1
    weight = torch.cat([thresholds, above, below, codebook, random, torch.tensor([0.0, -0.0])])[None]
    scale = torch.ones(1)
    expected = reference.fake_quantize_scaled(weight, codebook, scale, None, weight.numel())
    result = fake_quantize.fake_quantize_scaled(weight, build_tables(codebook), scale, None, weight.numel(), run)
    assert_same_bits(result, expected)


@pytest.mark.parametrize(("bits", "dtype"), WIDTHS_AND_DTYPES, ids=str)
def test_pack_and_unpack(run, bits: int, dtype: torch.dtype):
    """Words are those of the definition's codes; what comes back is what fake quantization gives."""
    codebook, weight = random_codebook(bits), random_weight(dtype)
    tables, n_weights = build_tables(codebook), weight.numel()
    absmax_dtype = torch.bfloat16 if dtype == torch.bfloat16 else torch.float16
    for block_size in (32, 64, 100, 1024):
        absmax = reference.block_absmax(weight, block_size).to(absmax_dtype)
        inverse = reference.reciprocal(absmax.float()).repeat_interleave(block_size)[:n_weights]
        codes = reference.quantize_codes(weight.float().view(-1) * inverse, reference.midpoints(codebook))
        if packed.has_fused_absmax(block_size):
            words, stored = packed.quantize_pack(weight, tables, block_size, absmax_dtype, run)
            assert_same_bits(stored, absmax)
        else:
            words = packed.quantize_pack_scaled(weight, tables, absmax.float(), None, block_size, run)
        assert torch.equal(unpack_codes(words, tables.bits, n_weights), codes)
        assert torch.equal(words, pack_codes(codes, tables.bits)), "the filling of the last group is zeros"
        output = torch.full_like(weight, torch.nan)
        packed.unpack_dequantize(words, tables, absmax, None, block_size, output, run)
        assert_same_bits(output, reference.fake_quantize(weight, codebook, block_size, absmax_dtype))


@pytest.mark.parametrize(("bits", "rows", "dtype"), [(3, 1, DTYPES[2]), (4, 4, DTYPES[1]), (7, 2, DTYPES[0])], ids=str)
@pytest.mark.parametrize("has_offset", [False, True])
@pytest.mark.parametrize("n_inputs", [32, 160, 7008])
def test_gemv(run, bits: int, rows: int, dtype: torch.dtype, has_offset: bool, n_inputs: int):
    """Inputs that fill no quad, or more than shared memory holds; blocks across rows, of 1 to 3 groups."""
    block_size, n_outputs = {32: 32, 160: 96, 7008: 64}[n_inputs], 19
    generator = torch.Generator().manual_seed(4)
    codebook = random_codebook(bits)
    codes = torch.randint(len(codebook), (n_outputs, n_inputs), generator=generator).to(torch.uint8)
    scale = torch.rand(-(-codes.numel() // block_size), generator=generator) + 0.5
    scale[:2] = 0.0
    offset = torch.randn(scale.shape, generator=generator) if has_offset else None
    x = torch.randn(rows, n_inputs, generator=generator).to(dtype)

    def spread(of_blocks: torch.Tensor) -> torch.Tensor:
        return of_blocks.repeat_interleave(block_size)[: codes.numel()]

    levels = codebook[codes.view(-1).long()] * spread(scale)
    weight = levels if offset is None else levels + spread(offset)
    expected = x.double() @ weight.view(n_outputs, n_inputs).double().T
    tables = build_tables(codebook)
    assert gemv.takes(rows, n_inputs, block_size)
    words = pack_codes(codes.view(-1), tables.bits)
    y = gemv.multiply(x, words, tables, scale, offset, block_size, n_outputs, run)
    # Sums of fp32 products, each good to 2^-24 of its size, then one rounding to the dtype of x.
    size = (x.double().abs() @ weight.view(n_outputs, n_inputs).double().abs().T) * n_inputs**0.5 * 2**-24
    error = (y.double() - expected).abs()
    assert (error <= size + expected.abs() * torch.finfo(dtype).eps).all()
