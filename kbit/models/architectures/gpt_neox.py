"""GPT-NeoX: Pythia and NeoX-20B. Query, key and value are one matrix."""

from kbit.models.architectures.architecture import Architecture
from kbit.models.architectures.roles import Roles, fused_by_head
from kbit.models.architectures.tries import run_by_position_ids

ARCHITECTURE = Architecture(
    model_type="gpt_neox",
    blocks="gpt_neox.layers",
    block_linears=("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    roles=Roles(
        kvq=("attention.query_key_value",),
        attention_output=("attention.dense",),
        ffn1=("mlp.dense_h_to_4h",),
        ffn2=("mlp.dense_4h_to_h",),
        value="attention.query_key_value",
        value_units=lambda config: fused_by_head(
            config.num_attention_heads, config.hidden_size // config.num_attention_heads
        ),
        is_parallel=lambda config: config.use_parallel_residual,
    ),
    stem=(("gpt_neox.embed_in",),),
    after_blocks=("gpt_neox.final_layer_norm",),
    run_tries=run_by_position_ids,
)
