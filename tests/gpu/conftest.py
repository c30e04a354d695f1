"""Tests that need an NVIDIA GPU: `make test-gpu`. Elsewhere they are skipped with the reason."""

from collections.abc import Callable

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def gpu(require: Callable[[str], str]) -> torch.device:
    require("gpu")
    assert torch.cuda.is_available(), "nvidia-smi is there, but torch finds no GPU: is this its build for the CPU?"
    return torch.device("cuda", 0)


@pytest.fixture
def two_gpus() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
