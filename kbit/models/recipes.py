"""The embedded models: architecture, width, depth. One entry a model; `kbit train NAME` makes it."""

from dataclasses import dataclass

from transformers import BloomConfig, GPT2Config, GPTNeoXConfig, OPTConfig, PretrainedConfig

CONTEXT_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one embedded model is made. Data, order of data, tokens and schedule are the same for all."""

    architecture: str
    """neox, gpt2, opt or bloom: the Hugging Face class that is trained."""
    width: int
    """Hidden size; the feed-forward layer is four times as wide."""
    layers: int
    snapshot_tokens: tuple[int, ...] = ()
    """Tokens after which a checkpoint of the same run is kept, as Pythia's are (the learning rate has not decayed there)."""

    @property
    def learning_rate(self) -> float:
        """Peak learning rate: 4e-3 at width 32, falling with the square root of the width."""
        return 4e-3 * (32 / self.width) ** 0.5

    @property
    def heads(self) -> int:
        return max(2, self.width // 32)


EARLY_TOKENS = (1_000_000, 3_000_000)

RECIPES: dict[str, Recipe] = {
    "neox-32x2": Recipe("neox", 32, 2, EARLY_TOKENS),
    "neox-64x2": Recipe("neox", 64, 2, EARLY_TOKENS),
    "neox-96x3": Recipe("neox", 96, 3, EARLY_TOKENS),
    "neox-128x4": Recipe("neox", 128, 4),
    "neox-160x4": Recipe("neox", 160, 4),
    "gpt2-32x2": Recipe("gpt2", 32, 2),
    "gpt2-64x2": Recipe("gpt2", 64, 2),
    "gpt2-96x3": Recipe("gpt2", 96, 3),
    "opt-32x2": Recipe("opt", 32, 2),
    "opt-64x2": Recipe("opt", 64, 2),
    "opt-96x3": Recipe("opt", 96, 3),
    "bloom-32x2": Recipe("bloom", 32, 2),
    "bloom-64x2": Recipe("bloom", 64, 2),
    "bloom-96x3": Recipe("bloom", 96, 3),
}


def model_config(recipe: Recipe, vocabulary_size: int, end_of_text: int) -> PretrainedConfig:
    """The Hugging Face config of a recipe: context 256, no dropout, family defaults otherwise (NeoX: untied, parallel residual)."""
    width, layers, heads = recipe.width, recipe.layers, recipe.heads
    tokens = dict(vocab_size=vocabulary_size, bos_token_id=end_of_text, eos_token_id=end_of_text, pad_token_id=end_of_text)
    match recipe.architecture:
        case "neox":
            return GPTNeoXConfig(
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                intermediate_size=4 * width,
                max_position_embeddings=CONTEXT_TOKENS,
                **tokens,
            )
        case "gpt2":
            return GPT2Config(
                n_embd=width,
                n_layer=layers,
                n_head=heads,
                n_positions=CONTEXT_TOKENS,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                **tokens,
            )
        case "opt":
            return OPTConfig(
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                ffn_dim=4 * width,
                word_embed_proj_dim=width,
                max_position_embeddings=CONTEXT_TOKENS,
                dropout=0.0,
                attention_dropout=0.0,
                **tokens,
            )
        case "bloom":
            return BloomConfig(hidden_size=width, n_layer=layers, n_head=heads, seq_length=CONTEXT_TOKENS, **tokens)
    raise ValueError(f"architecture {recipe.architecture!r} is not one of neox, gpt2, opt, bloom (kbit/models/recipes.py)")
