"""Llama, and models that use its architecture under its name."""

from kbit.models.architectures.architecture import Architecture
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
    after_blocks=("model.norm",),
    run_tries=run_by_position_ids,
)
