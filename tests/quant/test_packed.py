"""Packed weights: the weight that they stand for, and the bits that they take."""

import pytest
import torch
from quant_specs import every_spec, slug

from kbit.quant import quantize_weight
from kbit.quant.packed import pack_weight, unpack_weight
from kbit.quant.scale_formats import SCALE_FORMATS
from kbit.quant.statistics import Statistics
from kbit.spec.errors import UserError
from kbit.spec.footprint import count_footprint
from kbit.spec.members import DATA_TYPES
from kbit.spec.quant import CONTROL, QuantSpec

INT4 = {"data_type": "int", "bits": 4, "block_size": 64}
OPTIONS = [
    {},
    {"block_size": "row"},
    {"block_size": "tensor"},
    {"centered": "block"},
    {"centered": "tensor"},
    {"scale_format": "dq"},
    {"scale_format": "e8m0"},
    {"scale_format": "e4m3"},
    {"scale_format": "fp32"},
    {"rotation": "hadamard"},
    {"outlier_fraction": 0.05},
    {"outlier_fraction": 0.05, "outlier_rule": "own-std", "centered": "block"},
]
SPECS = [QuantSpec(**{**INT4, **options}) for options in OPTIONS]


def random_weight(dtype: torch.dtype, shape: tuple[int, int] = (24, 160)) -> torch.Tensor:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.02
    weight[3] = 0.0
    return weight.to(dtype)


def statistics(width: int) -> Statistics:
    return Statistics(feeder_std=torch.rand(width, generator=torch.Generator().manual_seed(1)))


def plain_specs() -> list[QuantSpec]:
    return [spec for spec in every_spec() if spec.solver == "rtn" and spec != CONTROL]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=slug)
def test_options_unpack_to_the_fake_quantized_weight(spec: QuantSpec, dtype: torch.dtype):
    weight = random_weight(dtype)
    packed = pack_weight(weight, spec, "w", statistics(160))
    assert torch.equal(unpack_weight(packed), quantize_weight(weight, spec, "w", statistics(160)))


@pytest.mark.parametrize("spec", plain_specs(), ids=slug)
def test_every_data_type_unpacks_to_the_fake_quantized_weight(spec: QuantSpec):
    weight = random_weight(torch.bfloat16)
    packed = pack_weight(weight, spec, "w")
    assert torch.equal(unpack_weight(packed), quantize_weight(weight, spec, "w"))


@pytest.mark.parametrize("spec", [*SPECS, *plain_specs()], ids=slug)
def test_bytes_are_the_counted_bits(spec: QuantSpec):
    """But for a last group of codes that is filled up, 31 codes at most, and the mask's last word."""
    packed = pack_weight(random_weight(torch.bfloat16), spec, "w", statistics(160))
    counted = count_footprint(spec, [(24, 160)], 0).body_bits / 8
    slack = 31 * spec.bits / 8 + (4 if spec.outlier_fraction else 0)
    if DATA_TYPES[spec.data_type].table and packed.tensors["levels"].dtype == torch.float32:
        counted += 2 * packed.tensors["levels"].numel()  # quantiles are counted with 16 bits and stored with 32
    assert counted <= packed.n_bytes <= counted + slack


@pytest.mark.parametrize("largest", [1.0, 6.0])
@pytest.mark.parametrize("name", ["e8m0", "mx", "e4m3", "dq"])
def test_what_a_scale_format_stores_reads_back_as_its_scales(name: str, largest: float):
    extent = torch.rand(1000, generator=torch.Generator().manual_seed(0)) ** 8
    extent[::7] = 0.0
    scale_format = SCALE_FORMATS[name]
    stored = scale_format.encode(extent, largest)
    assert stored["scale"].dtype == torch.uint8
    assert torch.equal(scale_format.decode(stored), scale_format.store(extent, largest))


@pytest.mark.parametrize("spec", [CONTROL, QuantSpec(**INT4, solver="hqq")], ids=slug)
def test_what_cannot_be_packed(spec: QuantSpec):
    with pytest.raises(UserError, match=r"nothing to pack|solver 'hqq' of int4-b64-hqq cannot be packed"):
        pack_weight(random_weight(torch.float32), spec, "w")
