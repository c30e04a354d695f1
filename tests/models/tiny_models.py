"""Tiny models of every architecture as folders on disk, random and small enough to be read many times."""

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PretrainedConfig,
)

from kbit.models.locator import Locator

WIDTH, LAYERS, VOCABULARY = 32, 3, 64
TOKENS = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}

CONFIGS: dict[str, PretrainedConfig] = {
    "gpt_neox": GPTNeoXConfig(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=64, **TOKENS
    ),
    "gpt2": GPT2Config(n_embd=WIDTH, n_layer=LAYERS, n_head=2, n_positions=64, n_inner=64, **TOKENS),
    # The embedding is narrower than the model, so project_in and project_out exist.
    "opt": OPTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        ffn_dim=64,
        word_embed_proj_dim=16,
        max_position_embeddings=64,
        **TOKENS,
    ),
    "bloom": BloomConfig(hidden_size=WIDTH, n_layer=LAYERS, n_head=2, **TOKENS),
    "llama": LlamaConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        max_position_embeddings=64,
        **TOKENS,
    ),
}


def save_tiny_model(architecture: str, folder: Path, **changes: object) -> Locator:
    """A model in fp16 safetensors. Weights are random also where the class starts from zeros or ones, and of another
    scale in every tensor, so that none can stand in for another. changes: of its config."""
    config = type(CONFIGS[architecture])(**{**CONFIGS[architecture].to_diff_dict(), **changes})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.normal_(std=0.2 + 0.005 * i)
    model.half().save_pretrained(folder)
    return locator(folder)


def locator(folder: Path) -> Locator:
    return {"name": folder.name, "model_id": "x", "hub_id": None, "revision": None, "path": str(folder)}
