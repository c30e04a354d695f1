"""A rotation that nothing was quantized under changes nothing that counts: it is undone exactly, but for rounding."""

from pathlib import Path

import pytest
import torch

from kbit.models.architectures import linears
from kbit.models.load import load_model
from kbit.models.quantized import quantized
from kbit.quant.rotations import ROTATIONS
from kbit.spec.quant import QuantSpec

MODELS = Path(__file__).parents[2] / "data" / "models"


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("name", ["neox-32x2", "neox-64x2", "opt-32x2", "gpt2-32x2"])
def test_a_model_rotated_and_back_at_16_bits_loses_nothing(name, rotation):
    model = load_model({"name": name, "path": str(MODELS / name), "hub_id": None, "revision": None}, "float32", "cpu")
    tokens = torch.randint(5, 200, (4, 128), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(tokens, labels=tokens).loss
        with quantized(model, QuantSpec(data_type="int", bits=8, block_size=64, rotation=rotation)):
            rounded = model(tokens, labels=tokens).loss
        for layer in linears(model).values():
            there = ROTATIONS[rotation](layer.weight.float()).half()
            layer.weight.copy_(ROTATIONS[rotation](there.float()))
        after = model(tokens, labels=tokens).loss
    # Nats a token: far below what any width of codes costs, which 8 bits show.
    assert abs(after - before) <= 1e-3
    assert abs(rounded - before) <= 5e-2  # of tokens that are no text, 10 to 13 nats
    assert rounded != before
