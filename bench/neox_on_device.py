"""GPT-NeoX models of published shapes with random weights, made on the device, and the operations they take."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, PreTrainedModel

from kbit.evaluation.tries import Row

CONTEXT_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Shape:
    """One size of the family."""

    width: int
    layers: int
    heads: int
    vocabulary: int


SHAPES = {
    "tiny": Shape(64, 2, 4, 512),
    "160m": Shape(768, 12, 12, 50304),
    "410m": Shape(1024, 24, 16, 50304),
    "1.4b": Shape(2048, 24, 16, 50304),
    "2.8b": Shape(2560, 32, 32, 50304),
    "6.9b": Shape(4096, 32, 32, 50432),
    "12b": Shape(5120, 36, 40, 50688),
}
"""Pythia's, as config.json of each states them; tiny is for trying the bench on a CPU."""


def build_model(size: str, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """Weights drawn on the device itself, seeded: nothing is read or copied."""
    shape = SHAPES[size]
    config = GPTNeoXConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        max_position_embeddings=CONTEXT_TOKENS,
        use_parallel_residual=True,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.requires_grad_(False).eval()


def useful_flop(size: str, rows: Sequence[Row]) -> float:
    """Operations that scoring these rows takes at least, padding and what a mask hides left out.

    2 for each weight of the blocks' linear layers and token; 4 x width for each layer and pair of a token with one it
    attends to, itself included (a product with its key, one with its value); 2 for each weight of the head and token
    whose prediction is scored. Norms, activations, softmax and embeddings count nothing.
    """
    shape = SHAPES[size]
    linear_weights = 12 * shape.width**2 * shape.layers
    tokens = sum(len(row) for row in rows)
    pairs = sum(int((row.positions + 1).sum()) for row in rows)
    # A token is scored for several requests with one product: what follows a context is, for all its endings.
    scored = sum(len(set(row.scored.tolist())) for row in rows)
    return (
        2.0 * linear_weights * tokens
        + 4.0 * shape.width * shape.layers * pairs
        + 2.0 * shape.width * shape.vocabulary * scored
    )
