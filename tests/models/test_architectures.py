"""What is a linear: real Hugging Face classes at random tiny sizes, and at their true sizes without weights."""

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PretrainedConfig,
    Qwen2Config,
)

from kbit.models.architectures import ARCHITECTURES, linears
from kbit.spec.errors import UserError


def meta_model(config: PretrainedConfig) -> nn.Module:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


# Weights of the quantized linears of published models: 12 d^2 a layer where the feed-forward is four times as wide.
TRUE_SIZES: dict[str, tuple[PretrainedConfig, int]] = {
    "pythia-70m": (
        GPTNeoXConfig(
            vocab_size=50304, hidden_size=512, num_hidden_layers=6, num_attention_heads=8, intermediate_size=2048
        ),
        18_874_368,
    ),
    "gpt2": (GPT2Config(), 84_934_656),
    "opt-350m": (
        OPTConfig(
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            ffn_dim=4096,
            word_embed_proj_dim=512,  # projected to 1024 and back outside the blocks
            do_layer_norm_before=False,
        ),
        301_989_888,
    ),
    "bloom-560m": (BloomConfig(vocab_size=250_880, hidden_size=1024, n_layer=24, n_head=16), 301_989_888),
    "tinyllama-1.1b": (
        LlamaConfig(
            hidden_size=2048,
            num_hidden_layers=22,
            num_attention_heads=32,
            num_key_value_heads=4,
            intermediate_size=5632,
        ),
        968_884_224,
    ),
}


@pytest.mark.parametrize("name", TRUE_SIZES)
def test_quantized_weights_of_published_models(name: str) -> None:
    config, expected = TRUE_SIZES[name]
    assert sum(layer.weight.numel() for layer in linears(meta_model(config)).values()) == expected


def test_every_architecture_is_tried_at_its_true_size() -> None:
    assert {config.model_type for config, _ in TRUE_SIZES.values()} == set(ARCHITECTURES)


def test_order_is_that_of_the_data() -> None:
    names = list(linears(meta_model(GPT2Config(n_layer=2))))
    assert names[:5] == [
        "transformer.h.0.attn.c_attn",
        "transformer.h.0.attn.c_proj",
        "transformer.h.0.mlp.c_fc",
        "transformer.h.0.mlp.c_proj",
        "transformer.h.1.attn.c_attn",
    ]


def test_unknown_architecture_is_named_with_the_known_ones() -> None:
    config = Qwen2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, vocab_size=64
    )
    with pytest.raises(UserError, match="model_type 'qwen2' is not one of bloom, gpt2, gpt_neox, llama, opt"):
        linears(meta_model(config))


def test_a_linear_that_no_list_names_is_refused() -> None:
    """Otherwise it would stay at 16 bits without a word."""
    model = meta_model(GPT2Config(n_layer=2, add_cross_attention=True))
    with pytest.raises(
        UserError, match=r"transformer\.h\.0: linear layers crossattention\.c_attn.* differ from those known"
    ):
        linears(model)


def test_a_missing_linear_is_refused() -> None:
    model = meta_model(GPT2Config(n_layer=2))
    model.transformer.h[1].mlp.c_fc = nn.Identity()
    with pytest.raises(UserError, match=r"transformer\.h\.1: linear layers mlp\.c_fc differ"):
        linears(model)
