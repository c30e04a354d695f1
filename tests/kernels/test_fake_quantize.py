"""Fake quantization: the reference, the form that runs, and the operator against a slow definition."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from kbit.kernels import blockwise, ops, reference
from kbit.kernels.search import SMALLEST_TABLE_VALUES

CODEBOOKS = {
    "one level": [0.0],
    "two levels, none of them 0": [-1.0, 1.0],
    "seven even levels": [i / 3 for i in range(-3, 4)],
    "no -1": [-0.55, 0.0, 0.55, 1.0],
    "close levels": [-1.0, -0.75, -0.7499999, 0.0, 1e-20, 0.5, 1.0],
}
BLOCK_SIZES = {
    "blocks of 1": 1,
    "64": 64,
    "across rows": 100,
    "a row": 97,
    "the tensor": 97 * 21,
    "more than there is": 10**6,
}
DTYPES = {torch.float32: torch.float16, torch.float16: torch.float16, torch.bfloat16: torch.bfloat16}
"""Weight dtype -> dtype of a stored absmax."""


def levels(name: str) -> Tensor:
    return torch.tensor(CODEBOOKS[name], dtype=torch.float32)


def weights(dtype: torch.dtype, seed: int = 0) -> Tensor:
    """[21, 97]: normal weights, ties at the midpoints of the codebooks, stretches of zeros and of tiny numbers."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(21, 97, generator=generator) * 0.02
    weight[3] = torch.tensor([1.0, -1.0, 0.5, -0.5, 0.25, 0.0, -0.0, 1 / 6, -1 / 6, 0.775]).repeat(10)[:97]
    weight[7:10] = 0.0
    weight[12:14] *= 2.0**-14  # absmax subnormal in fp16
    weight[15:17] *= 2.0**-30  # absmax 0 in fp16
    weight[20] *= 2.0**-125  # absmax without a finite reciprocal in bf16
    return weight.to(dtype)


def assert_same_bits(actual: Tensor, expected: Tensor) -> None:
    """Equality of bit patterns: unlike ==, it tells -0 from 0."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    integers = torch.int32 if expected.element_size() == 4 else torch.int16
    assert torch.equal(actual.contiguous().view(integers), expected.contiguous().view(integers))


def slow_fake_quantize(weight: Tensor, codebook: Tensor, block_size: int, absmax_dtype: torch.dtype) -> Tensor:
    """The rule, one scalar at a time: numpy's fp32 scalars round like IEEE, midpoints are exact fractions, rounded."""
    flat, book = weight.reshape(-1).float().tolist(), codebook.tolist()
    midpoints = [np.float32(float((Fraction(a) + Fraction(b)) / 2)) for a, b in pairwise(book)]
    result = []
    for start in range(0, len(flat), block_size):
        block = flat[start : start + block_size]
        absmax = np.float32(torch.tensor(max(abs(x) for x in block)).to(absmax_dtype).item())
        with np.errstate(over="ignore", divide="ignore"):
            inverse = np.float32(1) / absmax
        for x in block:
            if np.isinf(inverse):
                result.append(0.0)
                continue
            t = np.float32(x) * inverse
            code = sum(bool(midpoint < t) for midpoint in midpoints)
            result.append(float(np.float32(book[code]) * absmax))
    return torch.tensor(result, dtype=torch.float32).view(weight.shape).to(weight.dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("block_size", BLOCK_SIZES.values(), ids=BLOCK_SIZES)
@pytest.mark.parametrize("name", CODEBOOKS)
def test_every_form_equals_the_slow_definition(name: str, block_size: int, dtype: torch.dtype) -> None:
    weight, codebook = weights(dtype), levels(name)
    expected = slow_fake_quantize(weight, codebook, block_size, DTYPES[dtype])
    for form in (reference.fake_quantize, blockwise.fake_quantize, ops.fake_quantize):
        assert_same_bits(form(weight, codebook, block_size, DTYPES[dtype]), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("block_size", [64, 100, 333, 10**5])
@pytest.mark.parametrize("piece_weights", [64, 100, 1000, 1 << 16])
def test_pieces_do_not_show(piece_weights: int, block_size: int, dtype: torch.dtype, monkeypatch) -> None:
    monkeypatch.setattr(blockwise, "PIECE_WEIGHTS", piece_weights)
    weight = torch.cat([weights(dtype, seed) for seed in range(5)])
    assert weight.numel() > SMALLEST_TABLE_VALUES  # so that the search by look-up runs
    codebook = levels("seven even levels")
    expected = reference.fake_quantize(weight, codebook, block_size, DTYPES[dtype])
    assert_same_bits(blockwise.fake_quantize(weight, codebook, block_size, DTYPES[dtype]), expected)


@pytest.mark.parametrize(
    ("n_weights", "block_size"), [(0, 5), (1, 1), (1, 64), (640, 64), (641, 64), (64, 640), (200_000, 70_000)]
)
def test_pieces_cover_every_weight_once(n_weights: int, block_size: int) -> None:
    covered = []
    for weights_slice, blocks in blockwise.pieces(n_weights, block_size):
        span = range(weights_slice.start, weights_slice.stop)
        assert 0 < len(span) <= max(blockwise.PIECE_WEIGHTS, 1)
        assert {index // block_size for index in (span[0], span[-1])} == {blocks.start, blocks.stop - 1}
        covered += span
    assert covered == list(range(n_weights))


def test_strides_do_not_matter() -> None:
    weight, codebook = weights(torch.float32), levels("no -1")
    wide = torch.randn(21, 200)
    wide[:, 50:147] = weight
    expected = reference.fake_quantize(weight, codebook, 64, torch.float16)
    for view in (weight.t().contiguous().t(), wide[:, 50:147]):
        assert not view.is_contiguous()
        result = ops.fake_quantize(view, codebook, 64, torch.float16)
        assert result.is_contiguous()
        assert_same_bits(result, expected)


def test_weight_is_left_alone() -> None:
    weight = weights(torch.float32)
    before = weight.clone()
    result = ops.fake_quantize(weight, levels("seven even levels"), 64, torch.float16)
    assert_same_bits(weight, before)
    assert result.data_ptr() != weight.data_ptr()


@pytest.mark.parametrize("shape", [(0, 8), (1, 1), (8, 0)])
def test_tiny_tensors(shape: tuple[int, int]) -> None:
    weight = torch.full(shape, -0.5)
    for form in (reference.fake_quantize, ops.fake_quantize):
        assert_same_bits(form(weight, levels("seven even levels"), 64, torch.float16), weight)


def test_stored_absmax_is_the_one_that_quantizes() -> None:
    """1.0009 is stored as 1 in fp16 (spacing 2^-10): its own level is then 1, and what lay between levels moves too."""
    weight = torch.tensor([[1.0004, 0.50002]])
    result = ops.fake_quantize(weight, torch.tensor([-1.0, 0.0, 1.0]), 64, torch.float16)
    assert result.tolist() == [[1.0, 1.0]]  # 0.50002 / 1.0004 lies below the midpoint 0.5, 0.50002 / 1 above it


def test_ties_go_down() -> None:
    weight = torch.tensor([[1.0, 0.5, -0.5, 0.25, -0.25, 0.75, -0.75]])
    result = ops.fake_quantize(weight, torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]), 64, torch.float16)
    assert result.tolist() == [[1.0, 0.5, -0.5, 0.0, -0.5, 0.5, -1.0]]


def test_threads_do_not_matter() -> None:
    weight = torch.randn(700, 300, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(ops.fake_quantize(weight, levels("no -1"), 64, torch.float16))
    torch.set_num_threads(before)
    assert_same_bits(*results)
