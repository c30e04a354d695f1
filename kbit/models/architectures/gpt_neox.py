"""GPT-NeoX: Pythia and NeoX-20B. Query, key and value are one matrix."""

from kbit.models.architectures.architecture import Architecture
from kbit.models.architectures.tries import run_by_position_ids

ARCHITECTURE = Architecture(
    model_type="gpt_neox",
    blocks="gpt_neox.layers",
    block_linears=("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    after_blocks=("gpt_neox.final_layer_norm",),
    run_tries=run_by_position_ids,
)
