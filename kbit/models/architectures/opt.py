"""OPT. The 350M model projects a narrower embedding in and out: outside the blocks, so these stay at 16 bits."""

from kbit.models.architectures.architecture import Architecture
from kbit.models.architectures.roles import Roles
from kbit.models.architectures.tries import run_by_position_ids

ARCHITECTURE = Architecture(
    model_type="opt",
    blocks="model.decoder.layers",
    block_linears=(
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
        "fc1",
        "fc2",
    ),
    roles=Roles(
        kvq=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_output=("self_attn.out_proj",),
        ffn1=("fc1",),
        ffn2=("fc2",),
        value="self_attn.v_proj",
    ),
    stem=(("model.decoder.project_in", "model.decoder.embed_tokens"), ("model.decoder.embed_positions",)),
    after_blocks=("model.decoder.final_layer_norm", "model.decoder.project_out"),
    run_tries=run_by_position_ids,
)
