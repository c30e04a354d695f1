"""BLOOM and BLOOMZ. Query, key and value are one matrix."""

from kbit.models.architectures.architecture import Architecture

ARCHITECTURE = Architecture(
    model_type="bloom",
    blocks="transformer.h",
    block_linears=("self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
)
