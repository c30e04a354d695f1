"""Order statistics: the histogram and the sort agree."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kbit.quant import order_statistics
from kbit.quant.order_statistics import order_statistics as statistics

halves = st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=1, max_size=50)


@given(halves)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_histogram_equals_sort(values: list[float]) -> None:
    ranks = torch.arange(len(values))
    for dtype in (torch.float16, torch.float32, torch.bfloat16):
        tensor = torch.tensor(values).to(dtype)
        assert torch.equal(statistics(tensor, ranks), tensor.float().sort().values)


@pytest.mark.parametrize(("scale", "sorts"), [(1.0, False), (1.1, True)], ids=["fp16 values", "fp32 values"])
def test_sorts_only_what_16_bits_do_not_hold(scale: float, sorts: bool, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(order_statistics, "sort", lambda values: calls.append(1) or values.sort().values)
    weight = torch.randn(50, 20, generator=torch.Generator().manual_seed(0)).half().float() * scale
    ranks = torch.tensor([0, 10, 999])
    assert torch.equal(statistics(weight, ranks), weight.flatten().sort().values[ranks])
    assert bool(calls) == sorts


def test_sorting_path_leaves_the_weight_alone() -> None:
    weight = torch.tensor([[3.1, 1.1, 2.1]])
    assert statistics(weight, torch.tensor([0, 2])).tolist() == weight[0, [1, 0]].tolist()
    assert weight[0].tolist() == torch.tensor([3.1, 1.1, 2.1]).tolist()
