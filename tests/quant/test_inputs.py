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


ENDS = {
    "huge": (torch.bfloat16, 2.0**127),
    "largest fp32": (torch.float32, torch.finfo(torch.float32).max),
    "largest fp16": (torch.float16, 65_504.0),
    "smallest normal": (torch.bfloat16, 2.0**-126),
    "subnormal": (torch.bfloat16, 2.0**-140),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_both_ends_of_the_range(data_type: str, end: str) -> None:
    """Finite results no larger than the weights allow, or one clear error."""
    dtype, scale = ENDS[end]
    extreme = (torch.rand(4, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1).double().mul(scale).to(dtype)
    extreme[0, 0], extreme[1, 0] = scale, -scale
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


@pytest.mark.parametrize("scale_format", ["bf16", "e8m0"])
def test_a_scale_rounded_up_beyond_the_weights_dtype_is_unsupported(scale_format: str) -> None:
    """65504 has the scale 65536, and so would the weight."""
    spec = QuantSpec(data_type="int", bits=4, block_size=64, scale_format=scale_format)
    with pytest.raises(
        UnsupportedError, match=r"^h\.weight: its largest weight has magnitude 65504 and, with its scale"
    ):
        quantize_weight(torch.full((2, 64), 65_504.0, dtype=torch.float16), spec, "h.weight")
    assert quantize_weight(torch.full((2, 64), 32_768.0, dtype=torch.float16), spec, "h.weight")[0, 0] == 32_768


def test_a_minimum_beyond_its_format_is_called_so() -> None:
    spec = QuantSpec(data_type="int-asym", bits=4, block_size=64, scale_format="fp32")
    with pytest.raises(
        UnsupportedError, match="minimum of a block has magnitude 70000, but a minimum is stored as float16"
    ):
        quantize_weight(torch.tensor([[-7e4, 8e4]]), spec, "w")


@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_threads_do_not_matter(data_type: str) -> None:
    large, before, results = weight(torch.float32).repeat(20, 4), torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(quantize_weight(large, any_spec(data_type), "w"))
    torch.set_num_threads(before)
    assert torch.equal(*results)
