"""Fake quantization with given scales: the form that runs and the operator against the reference and scalars."""

import numpy as np
import pytest
import torch
from torch import Tensor

from kbit.kernels import blockwise, ops, reference
from kbit.kernels.search import SMALLEST_TABLE_VALUES

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
LEVELS = torch.tensor([-1.0, -0.3, 0.0, 0.2, 0.5, 1.0])


def example(dtype: torch.dtype, block_size: int, rows: int = 100) -> tuple[Tensor, Tensor, Tensor]:
    """weight [rows, 97], and a scale and an offset for each block, some of them negative, 0 or without a reciprocal."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(rows, 97, generator=generator).to(dtype)
    n_blocks = -(-weight.numel() // block_size)
    scale, offset = torch.randn(2, n_blocks, generator=generator) * 3
    scale[::7], scale[3::11] = 0.0, 1e-39
    return weight, scale, offset


def slow_fake_quantize(weight: Tensor, codebook: Tensor, scale: Tensor, offset: Tensor, block_size: int) -> Tensor:
    """The rule, one scalar at a time: numpy's fp32 scalars round like IEEE."""
    results = []
    for place, x in enumerate(weight.float().flatten().tolist()):
        levels = codebook if codebook.dim() == 1 else codebook[place // weight.shape[1]]
        a, m = np.float32(scale[place // block_size].item()), np.float32(offset[place // block_size].item())
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.float32(1) / a
        t = (np.float32(x) - m) * (inverse if np.isfinite(inverse) else np.float32(0))
        midpoints = ((levels[1:] + levels[:-1]) / 2).numpy()
        u = np.float32(levels[int((midpoints < t).sum())].item())
        results.append(float((u * a if np.isfinite(inverse) else np.float32(0)) + m))
    return torch.tensor(results).view(weight.shape).to(weight.dtype)


def books(rows: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    repeated = LEVELS.repeat(rows, 1) * torch.rand(rows, 1, generator=generator)
    repeated[5] = 0.0  # a row whose levels are all the same
    return {"one codebook": LEVELS, "one for each row": repeated}


@pytest.mark.parametrize("book", ["one codebook", "one for each row"])
@pytest.mark.parametrize("block_size", [1, 64, 97, 1000, 10**5])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_form_equals_the_slow_definition(dtype: torch.dtype, block_size: int, book: str) -> None:
    weight, scale, offset = example(dtype, block_size, rows=9)
    expected = slow_fake_quantize(weight, books(9)[book], scale, offset, block_size)
    for form in (reference, blockwise, ops):
        assert torch.equal(form.fake_quantize_scaled(weight, books(9)[book], scale, offset, block_size), expected)


@pytest.mark.parametrize("has_offset", [True, False])
@pytest.mark.parametrize("piece_weights", [100, 1000, 1 << 16])
@pytest.mark.parametrize("book", ["one codebook", "one for each row"])
def test_pieces_do_not_show(book: str, piece_weights: int, has_offset: bool, monkeypatch) -> None:
    monkeypatch.setattr(blockwise, "PIECE_WEIGHTS", piece_weights)
    weight, scale, offset = example(torch.float32, 64)
    assert weight.numel() > SMALLEST_TABLE_VALUES  # so that the search by look-up runs
    shift = offset if has_offset else None
    expected = reference.fake_quantize_scaled(weight, books(100)[book], scale, shift, 64)
    result = blockwise.fake_quantize_scaled(weight.t().contiguous().t(), books(100)[book], scale, shift, 64)
    assert torch.equal(result.view(torch.int32), expected.view(torch.int32))


def test_equals_the_operator_that_finds_the_absmax() -> None:
    weight, _, _ = example(torch.float32, 64)
    absmax = reference.block_absmax(weight, 64).half().float()
    expected = ops.fake_quantize(weight, LEVELS, 64, torch.float16)
    assert torch.equal(ops.fake_quantize_scaled(weight, LEVELS, absmax, None, 64), expected)


@pytest.mark.parametrize("book", ["one codebook", "one for each row"])
def test_opcheck(book: str) -> None:
    weight, scale, offset = example(torch.float16, 64, rows=9)
    torch.library.opcheck(ops.fake_quantize_scaled, (weight, books(9)[book], scale, offset, 64))
    torch.library.opcheck(ops.fake_quantize_scaled, (weight, books(9)[book], scale, None, 64))


@pytest.mark.parametrize(
    ("codebook", "scale", "offset", "message"),
    [
        (LEVELS, torch.ones(2), None, r"scale is torch.float32 \[2\], not torch.float32 \[1\]"),
        (LEVELS, torch.ones(1).half(), None, "scale is torch.float16"),
        (LEVELS, torch.ones(1), torch.ones(3), r"offset is torch.float32 \[3\]"),
        (LEVELS, torch.ones(1, device="meta"), None, "scale is on meta"),
        (LEVELS.repeat(3, 1), torch.ones(1), None, "codebook has 3 rows, the weight 2"),
    ],
)
def test_refuses(codebook: Tensor, scale: Tensor, offset: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.check_scaled_arguments(torch.zeros(2, 8), codebook, scale, offset, 64)
