"""The C++ form of the kernels against the reference: bit for bit, for every kind of codebook, block and dtype."""

from itertools import pairwise

import pytest
import torch
from quant_specs import every_spec
from torch import Tensor

from kbit.kernels import backends, compiled, reference
from kbit.kernels.compiled import Library
from kbit.quant.codebooks import CODEBOOKS

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BLOCK_SIZES = {"1": 1, "16": 16, "64": 64, "straddling rows and strips": 100, "a row": 97, "the tensor": 10**6}
NORMAL = torch.randn(64, 97, generator=torch.Generator().manual_seed(0)) * 0.02


@pytest.fixture(scope="session")
def library(require, tmp_path_factory) -> Library:
    """Built anew, so that what is tested is the code as it stands."""
    require("compiler")
    return backends.build_library(tmp_path_factory.mktemp("kernels"))


def assert_same_bits(actual: Tensor, expected: Tensor) -> None:
    """Unlike ==, it tells -0 from 0."""
    assert actual.dtype == expected.dtype
    integers = torch.int32 if expected.element_size() == 4 else torch.int16
    assert torch.equal(actual.view(integers), expected.view(integers))


def codebooks() -> dict[str, Tensor]:
    """Of every data type, width and E there is; and awkward ones."""
    named = {spec.slug: CODEBOOKS[spec.data_type](spec, NORMAL) for spec in every_spec()}
    return {name: levels for name, levels in named.items() if levels.dim() == 1} | {
        "one level": torch.tensor([0.0]),
        "no 0": torch.tensor([-1.0, 1.0]),
        "a level twice": torch.tensor([-1.0, 0.0, 0.0, 1.0]),
        "many levels in one cell": torch.cat([torch.tensor([-1.0]), 0.5 + torch.arange(30) * 2.0**-24, torch.ones(1)]),
        "tiny levels": torch.tensor([*(-(2.0 ** -torch.arange(0, 140, 8)).float()), 0.0]),
        "almost the integers": torch.tensor([*range(-12, 12), 12.000001]) / 12.000001,
    }


def tricky_weights(levels: Tensor, dtype: torch.dtype) -> Tensor:
    """[..., 97]: normal weights; levels, midpoints and what lies beside them, in blocks of absmax 1; zeros; tiny."""
    points = torch.cat([levels, reference.midpoints(levels), torch.tensor([0.0, -0.0])]).clamp(-1, 1)
    beside = torch.cat([points, torch.nextafter(points, points + 1), torch.nextafter(points, points - 1)])
    beside = torch.nn.functional.pad(beside, (0, -len(beside) % 96)).view(-1, 96)
    beside = torch.nn.functional.pad(beside, (1, 0), value=-1.0)
    weight = torch.cat([NORMAL[:9], beside, torch.zeros(2, 97), NORMAL[9:12] * 2.0**-16, NORMAL[12:13] * 2.0**-122])
    return weight.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_codebook_equals_the_reference(library: Library, dtype: torch.dtype) -> None:
    stored = torch.float16 if dtype == torch.float32 else dtype
    for levels in codebooks().values():
        weight = tricky_weights(levels, dtype)
        for block_size in (64, 97):
            expected = reference.fake_quantize(weight, levels, block_size, stored)
            assert_same_bits(library.fake_quantize(weight, levels, block_size, stored), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("block_size", BLOCK_SIZES.values(), ids=BLOCK_SIZES)
@pytest.mark.parametrize("n_levels", [7, 15, 16, 255, 256])
def test_every_block_size_equals_the_reference(
    library: Library, n_levels: int, block_size: int, dtype: torch.dtype
) -> None:
    levels = torch.linspace(-1, 1, n_levels)
    weight = tricky_weights(levels, dtype)
    for stored in DTYPES:
        expected = reference.fake_quantize(weight, levels, block_size, stored)
        assert_same_bits(library.fake_quantize(weight, levels, block_size, stored), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("block_size", BLOCK_SIZES.values(), ids=BLOCK_SIZES)
@pytest.mark.parametrize("has_offset", [False, True], ids=["scaled", "with offsets"])
def test_given_scales_equal_the_reference(
    library: Library, has_offset: bool, block_size: int, dtype: torch.dtype
) -> None:
    """Scales of both signs, zeros among them, too small ones so that weights saturate; one codebook, and one a row."""
    generator = torch.Generator().manual_seed(1)
    weight = tricky_weights(torch.linspace(-1, 1, 15), dtype)
    n_blocks = -(-weight.numel() // block_size)
    scale = torch.randn(n_blocks, generator=generator) * 0.05
    scale[::5] = 0.0
    offset = torch.randn(n_blocks, generator=generator) * 0.01 if has_offset else None
    of_rows = torch.rand(len(weight), 16, generator=generator).sort(dim=1).values * 2 - 1
    of_rows[3] = of_rows[3, 0]
    many = torch.rand(len(weight), 200, generator=generator).sort(dim=1).values
    elements = torch.tensor([-6.0, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6])
    for levels in (elements, torch.arange(32) / 31, of_rows, many):
        expected = reference.fake_quantize_scaled(weight, levels, scale, offset, block_size)
        actual = library.fake_quantize_scaled(weight, levels, scale, offset, block_size)
        assert_same_bits(actual, expected.contiguous())


@pytest.mark.parametrize("n_threads", [2, 3])
@pytest.mark.parametrize("block_size", [64, 100, 97, 1000, 10**6])
def test_threads_do_not_show(library: Library, block_size: int, n_threads: int, monkeypatch) -> None:
    monkeypatch.setattr(compiled, "THREAD_WEIGHTS", 1000)
    monkeypatch.setattr(compiled, "LARGEST_FUSED_BLOCK", 1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    levels = torch.linspace(-1, 1, 255)
    expected = reference.fake_quantize(NORMAL, levels, block_size, torch.float16)
    assert_same_bits(library.fake_quantize(NORMAL, levels, block_size, torch.float16), expected)
    of_rows = levels.expand(len(NORMAL), -1)
    scale = torch.full((-(-NORMAL.numel() // block_size),), 0.08)
    expected = reference.fake_quantize_scaled(NORMAL, of_rows, scale, None, block_size)
    assert_same_bits(library.fake_quantize_scaled(NORMAL, of_rows, scale, None, block_size), expected)


@pytest.mark.parametrize(("n_weights", "granule"), [(0, 5), (1, 1), (640, 64), (641, 64), (64, 640), (1000, 7)])
def test_ranges_cover_every_weight_once(n_weights: int, granule: int, monkeypatch) -> None:
    monkeypatch.setattr(compiled, "THREAD_WEIGHTS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    ranges = []
    compiled.in_ranges(n_weights, granule, lambda begin, end: ranges.append((begin, end)))
    ends = [0, *(end for _, end in sorted(ranges))]
    assert ends[-1] == n_weights
    assert sorted(ranges) == list(pairwise(ends))
    assert all(begin % granule == 0 for begin, _ in ranges)


def test_strides_do_not_matter(library: Library) -> None:
    levels = torch.linspace(-1, 1, 16)
    expected = library.fake_quantize(NORMAL, levels, 64, torch.float16)
    turned = library.fake_quantize(NORMAL.t().contiguous().t(), levels.repeat(2, 1).t()[:, 0], 64, torch.float16)
    assert turned.is_contiguous()
    assert_same_bits(turned, expected)


@pytest.mark.parametrize("shape", [(0, 8), (1, 1), (8, 0), (3, 5)])
def test_tiny_tensors(library: Library, shape: tuple[int, int]) -> None:
    weight = torch.full(shape, -0.5)
    assert_same_bits(library.fake_quantize(weight, torch.tensor([-1.0, 0.0, 1.0]), 64, torch.float16), weight)
