"""Every data type on every kind of input: dtypes, strides, one weight, numbers at both ends of the range, threads."""

import pytest
import torch
from quant_specs import any_spec, slug, statistics_of, variants
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
    plain, statistics = weight(dtype), statistics_of(97)
    for spec in variants(data_type):
        result = quantize_weight(plain, spec, "w", statistics)
        assert (result.dtype, result.shape, result.is_contiguous()) == (dtype, plain.shape, True), spec.slug
        error = (result.float() - plain.float()).square().mean() / plain.float().square().mean()
        # Four bits; the coarsest, fp4-bnb and dynamic, stay below. Scales that are rounded up to the double, and
        # weights that make up for each other's errors, are farther off by four.
        assert 0 < error < (0.06 if spec == any_spec(data_type) else 0.24), spec.slug
        assert torch.equal(quantize_weight(plain.t().contiguous().t(), spec, "w", statistics), result), spec.slug
        assert torch.equal(plain, weight(dtype)), spec.slug  # left alone


@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_one_weight(data_type: str) -> None:
    """The extreme of its block: kept, but for the rounding of its scale and levels that reach no extreme."""
    for spec in variants(data_type):
        for value in (0.75, -0.75, 0.0):
            result = quantize_weight(torch.tensor([[value]]), spec, "w", statistics_of(1))
            # A power of two is a third above three quarters of it, and quantile's only levels are 0 and 1.
            tolerance = 0.34 if spec.scale_format == "e8m0" else 0.12
            assert abs(result.item() - value) <= tolerance * abs(value), spec.slug


@pytest.mark.parametrize("data_type", CODEBOOKS)
def test_no_weights(data_type: str) -> None:
    for spec in variants(data_type):
        for shape in ((0, 8), (8, 0)):
            assert quantize_weight(torch.empty(shape), spec, "w", statistics_of(shape[1])).shape == shape, spec.slug


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
    for spec in variants(data_type):
        try:
            result = quantize_weight(extreme, spec, "h.weight", statistics_of(64)).double()
        except UnsupportedError as error:
            assert str(error).startswith("h.weight: its ")  # noqa: PT017 (either outcome is right)
            continue
        assert torch.isfinite(result).all(), spec.slug
        # e8m0 and E4M3 round scales up, by two and a sixteenth.
        assert result.abs().max() <= 2 * extreme.double().abs().max() + 2.0**-126, spec.slug


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


# Without calibrated solvers: linear algebra on second moments is split by threads.
THREADED = [spec for spec in variants("int") if not spec.is_calibrated] + [any_spec(name) for name in CODEBOOKS]


@pytest.mark.parametrize("spec", THREADED, ids=slug)
def test_threads_do_not_matter(spec: QuantSpec) -> None:
    large, before, results = weight(torch.float32).repeat(20, 1), torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(quantize_weight(large, spec, "w", statistics_of(97)))
    torch.set_num_threads(before)
    assert torch.equal(*results)
