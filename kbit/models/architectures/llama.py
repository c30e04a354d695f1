"""Llama, and models that use its architecture under its name."""

from kbit.models.architectures.architecture import Architecture
from kbit.models.architectures.roles import Roles, grouped
from kbit.models.architectures.tries import run_by_position_ids

ARCHITECTURE = Architecture(
    model_type="llama",
    blocks="model.layers",
    block_linears=(
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ),
    roles=Roles(
        kvq=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_output=("self_attn.o_proj",),
        ffn1=("mlp.gate_proj", "mlp.up_proj"),
        ffn2=("mlp.down_proj",),
        value="self_attn.v_proj",
        value_units=lambda config: grouped(config.num_attention_heads, config.num_key_value_heads, config.head_dim),
    ),
    stem=(("model.embed_tokens",),),
    after_blocks=("model.norm",),
    run_tries=run_by_position_ids,
)
