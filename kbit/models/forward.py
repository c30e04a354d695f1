"""One pass of a model over a batch: plain causal rows, or tries as their architecture states."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kbit.models.architectures import Architecture
from kbit.models.inputs import ModelInputs

MASK_ALIGNMENT = 16
"""Values between the rows of a mask: what the fused attention of a GPU reads without making a copy in every layer."""


def last_hidden_states(architecture: Architecture, model: PreTrainedModel, inputs: ModelInputs) -> Tensor:
    """The last hidden states of a causal LM, after the final norm: [rows, length, width].

    All that the blocks know of the rows reaches them as arguments, so that they can be run one by one with what the
    first of them was called with.

    No mask is passed for plain rows: they start at position 0 and are padded on the right, where a causal model does
    not look, so that every architecture derives the right positions (OPT, BLOOM) by itself.
    """
    if inputs.ends is None:
        return model.base_model(input_ids=inputs.tokens, use_cache=False)[0]
    mask = trie_mask(inputs.ends, model.get_input_embeddings().weight.dtype)
    return architecture.run_tries(model.base_model, inputs, mask)


def trie_mask(ends: Tensor, dtype: torch.dtype) -> Tensor:
    """[rows, 1, length, length], added to attention scores: 0 where token j attends to token i, else very negative.

    ends: int64 [rows, length]. The finite minimum rather than -inf keeps the softmax of any row a number.
    """
    rows, length = ends.shape
    query = torch.arange(length, device=ends.device)[:, None]
    aligned = -(-length // MASK_ALIGNMENT) * MASK_ALIGNMENT
    mask = torch.zeros(rows, 1, length, aligned, dtype=dtype, device=ends.device)[..., :length]
    hidden = (query < query.T) | (query >= ends[:, None, None, :])
    return mask.masked_fill_(hidden, torch.finfo(dtype).min)
