"""The Hugging Face config of a recipe, one function per architecture."""

from collections.abc import Callable

from transformers import BloomConfig, GPT2Config, GPTNeoXConfig, OPTConfig, PretrainedConfig

from kbit.models.recipes import CONTEXT_TOKENS, Recipe


def model_config(recipe: Recipe, vocabulary_size: int, end_of_text: int) -> PretrainedConfig:
    """Context 256, no dropout, the family's defaults otherwise (NeoX: untied, parallel residual)."""
    if recipe.architecture not in CONFIGS:
        accepted = ", ".join(CONFIGS)
        raise ValueError(f"architecture {recipe.architecture!r} is not one of {accepted} (kbit/models/recipes.py)")
    tokens = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end_of_text)
    return CONFIGS[recipe.architecture](recipe, {"vocab_size": vocabulary_size, **tokens})


def neox_config(recipe: Recipe, tokens: dict[str, int]) -> PretrainedConfig:
    return GPTNeoXConfig(
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=4 * recipe.width,
        max_position_embeddings=CONTEXT_TOKENS,
        **tokens,
    )


def gpt2_config(recipe: Recipe, tokens: dict[str, int]) -> PretrainedConfig:
    return GPT2Config(
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        n_positions=CONTEXT_TOKENS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **tokens,
    )


def opt_config(recipe: Recipe, tokens: dict[str, int]) -> PretrainedConfig:
    return OPTConfig(
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        ffn_dim=4 * recipe.width,
        word_embed_proj_dim=recipe.width,
        max_position_embeddings=CONTEXT_TOKENS,
        dropout=0.0,
        attention_dropout=0.0,
        **tokens,
    )


def bloom_config(recipe: Recipe, tokens: dict[str, int]) -> PretrainedConfig:
    return BloomConfig(
        hidden_size=recipe.width, n_layer=recipe.layers, n_head=recipe.heads, seq_length=CONTEXT_TOKENS, **tokens
    )


CONFIGS: dict[str, Callable[[Recipe, dict[str, int]], PretrainedConfig]] = {
    "neox": neox_config,
    "gpt2": gpt2_config,
    "opt": opt_config,
    "bloom": bloom_config,
}
