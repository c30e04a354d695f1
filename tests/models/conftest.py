"""Tiny models of every architecture, made once."""

from collections.abc import Callable
from functools import cache

import pytest
from tiny_models import save_tiny_model

from kbit.models.locator import Locator


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Locator]:
    """Architecture -> locator of a model in fp16 safetensors."""
    return cache(lambda architecture: save_tiny_model(architecture, tmp_path_factory.mktemp(architecture)))
