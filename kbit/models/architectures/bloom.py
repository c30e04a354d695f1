"""BLOOM and BLOOMZ. Query, key and value are one matrix; positions are known by ALiBi alone."""

import torch
from torch import Tensor
from transformers import BloomModel

from kbit.models.architectures.architecture import Architecture
from kbit.models.architectures.roles import Roles, fused_by_head
from kbit.models.inputs import ModelInputs


def run_tries(base_model: BloomModel, inputs: ModelInputs, mask: Tensor) -> Tensor:
    """BLOOM takes no positions: it makes its attention biases of a 2-D mask, in a method that is replaced for the call.

    The bias of a head is its slope times the position of the key. That of the query may be left out, as a softmax does
    not change when a constant is added to all scores of a query.
    """

    def alibi(_: Tensor, n_heads: int, dtype: torch.dtype) -> Tensor:
        """[rows * heads, 1, length]"""
        two_tokens = torch.ones(1, 2, dtype=torch.int64, device=inputs.tokens.device)
        slopes = BloomModel.build_alibi_tensor(base_model, two_tokens, n_heads, torch.float32)[:, :, 1]
        return (slopes * inputs.positions[:, None, :]).reshape(-1, 1, inputs.positions.shape[1]).to(dtype)

    base_model.build_alibi_tensor = alibi
    try:
        return base_model(input_ids=inputs.tokens, attention_mask=mask, use_cache=False)[0]
    finally:
        del base_model.build_alibi_tensor


ARCHITECTURE = Architecture(
    model_type="bloom",
    blocks="transformer.h",
    block_linears=("self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    roles=Roles(
        kvq=("self_attention.query_key_value",),
        attention_output=("self_attention.dense",),
        ffn1=("mlp.dense_h_to_4h",),
        ffn2=("mlp.dense_4h_to_h",),
        value="self_attention.query_key_value",
        value_units=lambda config: fused_by_head(config.n_head, config.hidden_size // config.n_head),
    ),
    stem=(("transformer.word_embeddings",),),
    after_blocks=("transformer.ln_f",),
    run_tries=run_tries,
)
