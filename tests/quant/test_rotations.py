"""Rotations against scipy's Hadamard matrix, and what they do to weights with an outlying input dimension."""

import pytest
import torch
from scipy.linalg import block_diag, hadamard

from kbit.quant import quantize_weight
from kbit.quant.rotations import ROTATIONS
from kbit.quant.rotations.hadamard import PIECE_WEIGHTS, rotate
from kbit.spec.errors import UnsupportedError
from kbit.spec.members import DATA_TYPES
from kbit.spec.quant import QuantSpec

INT3 = {"data_type": "int", "bits": 3, "block_size": 64}


def random_weight(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("width", "size"), [(64, 64), (96, 32), (80, 16), (6, 2), (7, 1), (1, 1)])
def test_hadamard_equals_the_matrix(width, size):
    weight = random_weight(5, width)
    matrix = block_diag(*[hadamard(size) / size**0.5] * (width // size))
    expected = weight.double() @ torch.from_numpy(matrix)
    # Six sums and a product in fp32 of values around 1.
    assert torch.allclose(rotate(weight).double(), expected, atol=3e-6, rtol=0)


@pytest.mark.parametrize("name", ROTATIONS)
@pytest.mark.parametrize("width", [64, 96, 7])
def test_a_rotation_is_its_own_inverse(name, width):
    weight = random_weight(9, width)
    back = ROTATIONS[name](ROTATIONS[name](weight))
    # Sixteen roundings of fp32, relative to the run's largest weight.
    assert (back - weight).abs().max() <= 1e-6 * weight.abs().max() * 4


def test_a_large_weight_in_pieces_is_the_same():
    weight = random_weight(3, PIECE_WEIGHTS // 2)
    assert torch.equal(rotate(weight), torch.cat([rotate(row[None]) for row in weight]))


@pytest.mark.parametrize("name", ROTATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_rotated_weight_is_what_is_quantized(name, dtype):
    weight = random_weight(8, 128).to(dtype)
    expected = ROTATIONS[name](quantize_weight(ROTATIONS[name](weight.float()), QuantSpec(**INT3), "w")).to(dtype)
    result = quantize_weight(weight, QuantSpec(**INT3, rotation=name), "w")
    assert result.dtype == dtype
    assert torch.equal(result, expected)


@pytest.mark.parametrize("data_type", ["int", "int-asym", "nf"])
def test_an_outlying_input_dimension_costs_less(data_type):
    """Of evenly spaced levels and such that follow a normal: one input of 64 has thirty times the others' weights."""
    weight = random_weight(64, 256)
    weight[:, ::64] *= 30
    spec = {"data_type": data_type, "bits": 4, "block_size": 64}
    errors = {
        rotation: (quantize_weight(weight, QuantSpec(**spec, rotation=rotation), "w") - weight).square()
        for rotation in ("none", "hadamard")
    }
    others = torch.arange(256) % 64 != 0
    assert errors["hadamard"][:, others].mean() < errors["none"][:, others].mean()


@pytest.mark.parametrize("data_type", [name for name in DATA_TYPES if name != "none"])
def test_every_data_type_takes_a_rotation(data_type):
    member = DATA_TYPES[data_type]
    bits = 4 if 4 in member.bits else member.bits[0]
    exponents = member.legal_exponents(bits)
    spec = {"data_type": data_type, "bits": bits, "block_size": (member.block_sizes or (64,))[0]}
    spec |= {"exponent_bits": exponents[0]} if exponents else {}
    weight = random_weight(32, 96)
    error = (quantize_weight(weight, QuantSpec(**spec, rotation="hadamard"), "w") - weight).square().mean()
    # The worst of them, fp4-bnb with one exponent bit, was seen to lose 15 % of a normal weight's variance.
    assert 0 < error < 0.2


def test_a_weight_that_leaves_fp32_when_rotated_is_refused():
    with pytest.raises(UnsupportedError, match=r"layer\.w: its largest weight has magnitude 3e\+38; rotated"):
        quantize_weight(
            torch.full((2, 64), 3e38), QuantSpec(**INT3, scale_format="fp32", rotation="hadamard"), "layer.w"
        )
