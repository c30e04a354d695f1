"""The search by look-up: the same codes as torch.bucketize for every t."""

import pytest
import torch
from quant_specs import every_spec, slug
from torch import Tensor

from kbit.kernels.reference import midpoints
from kbit.kernels.search import CELLS, cell_table, cells_of, make_search
from kbit.quant.codebooks import CODEBOOKS
from kbit.spec.members import DATA_TYPES
from kbit.spec.quant import QuantSpec


def hard_values(thresholds: Tensor) -> Tensor:
    """Every threshold and its fp32 neighbours, both ends of every cell within [-2, 2], random values, both zeros."""
    up, down = torch.tensor(torch.inf), torch.tensor(-torch.inf)
    cells = torch.arange(-CELLS // 2, CELLS // 2, dtype=torch.int32) << 16
    ends = torch.cat([cells.view(torch.float32), (cells | 0xFFFF).view(torch.float32)])
    near = [thresholds, thresholds.nextafter(up), thresholds.nextafter(down), -thresholds]
    random = torch.rand(50_000, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    return torch.cat([*near, ends[ends.abs() <= 2], random, torch.tensor([0.0, -0.0])])


ONE_CODEBOOK = [spec for spec in every_spec() if DATA_TYPES[spec.data_type].table != "row"]
FIXED = [spec for spec in ONE_CODEBOOK if not DATA_TYPES[spec.data_type].table]


@pytest.mark.parametrize("spec", ONE_CODEBOOK, ids=slug)
def test_codes_equal_bucketize(spec: QuantSpec) -> None:
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    thresholds = midpoints(CODEBOOKS[spec.data_type](spec, weight))
    t = hard_values(thresholds)
    assert torch.equal(make_search(thresholds, len(t))(t), torch.bucketize(t, thresholds, out_int32=True))


@pytest.mark.parametrize("spec", FIXED, ids=slug)
def test_fixed_codebooks_have_a_table(spec: QuantSpec) -> None:
    """Otherwise they would silently take the slow search."""
    assert cell_table(midpoints(CODEBOOKS[spec.data_type](spec, torch.zeros(1)))) is not None


@pytest.mark.parametrize(
    "thresholds", [[0.5, 0.5000001], [-0.0, 0.25], [0.0], [-0.25, 1e-40], [-1e-40, 1e-40], []], ids=str
)
def test_odd_thresholds(thresholds: list[float]) -> None:
    thresholds = torch.tensor(thresholds, dtype=torch.float32)
    t = hard_values(thresholds)
    assert torch.equal(make_search(thresholds, len(t))(t), torch.bucketize(t, thresholds, out_int32=True))


def test_two_thresholds_in_one_cell_have_no_table() -> None:
    assert cell_table(torch.tensor([0.5, 0.5000001])) is None


def test_cells_split_the_number_line() -> None:
    values = torch.tensor([-0.0, -1.0, -torch.inf, 0.0, 1.0, torch.inf])
    assert cells_of(values).tolist() == [0, 0x3F80, 0x7F80, 0x8000, 0x8000 + 0x3F80, 0x8000 + 0x7F80]
