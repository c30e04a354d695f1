"""Every data type on every kind of input: dtypes, strides, one weight, numbers at both ends of the range, threads."""

import pytest
import torch
from quant_specs import any_spec, formats_of
from torch import Tensor

from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS
from kbit.spec.errors import UnsupportedError
from kbit.spec.quant import QuantSpec

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def weight(dtype: torch.dtype) -> Tensor:
    """[21, 97]: blocks straddle rows."""
    return (torch.randn(21, 97, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_strides_do_not_matter(data_type: str, dtype: torch.dtype) -> None:
    plain, spec = weight(dtype), any_spec(data_type)
    result = quantize_weight(plain, spec, "w")
    assert (result.dtype, result.shape, result.is_contiguous()) == (dtype, plain.shape, True)
    error = (result.float() - plain.float()).square().mean() / plain.float().square().mean()
    assert 0 < error < 0.06  # four bits; the coarsest, fp4-bnb and dynamic, stay below
    assert torch.equal(quantize_weight(plain.t().contiguous().t(), spec, "w"), result)
    assert torch.equal(plain, weight(dtype))  # left alone


@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_one_weight(data_type: str) -> None:
    """The extreme of its block: kept, but for the rounding of its scale and levels that reach no extreme."""
    for value in (0.75, -0.75, 0.0):
        result = quantize_weight(torch.tensor([[value]]), any_spec(data_type), "w")
        assert abs(result.item() - value) <= 0.12 * abs(value)


@pytest.mark.parametrize("scale", [2.0**127, 2.0**-126, 2.0**-140], ids=["huge", "smallest normal", "subnormal"])
@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_both_ends_of_the_range(data_type: str, scale: float) -> None:
    """Finite results no larger than the weights allow, or one clear error."""
    extreme = (torch.rand(4, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1).mul(scale).bfloat16()
    for scale_format in formats_of(data_type):
        spec = QuantSpec(**{**any_spec(data_type).model_dump(exclude={"scale_format"}), "scale_format": scale_format})
        try:
            result = quantize_weight(extreme, spec, "h.weight").double()
        except UnsupportedError as error:
            assert str(error).startswith("h.weight: its ")  # noqa: PT017 (either outcome is right)
            continue
        assert torch.isfinite(result).all()
        # e8m0 and E4M3 round scales up, by two and a sixteenth.
        assert result.abs().max() <= 2 * extreme.double().abs().max() + 2.0**-126


@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_threads_do_not_matter(data_type: str) -> None:
    large, before, results = weight(torch.float32).repeat(20, 4), torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(quantize_weight(large, any_spec(data_type), "w"))
    torch.set_num_threads(before)
    assert torch.equal(*results)
