"""One pass of a model over a batch: plain causal rows, or tries as their architecture states."""

import torch
from torch import Tensor
from torch.nn import functional as F
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
    """[rows, 1, length, length], added to attention scores: 0 where token j attends to token i, else -inf.

    ends: int64 [rows, length]; every token, of padding too, attends to itself at least, so that no softmax is of -inf
    alone.
    """
    length = ends.shape[1]
    # A token reads a key if both distances, from the key and to the end of its subtree, are at least 0. Arithmetic is
    # several times faster on a CPU than comparisons; float32 holds these integers exactly.
    query = torch.arange(length, dtype=torch.float32, device=ends.device)[:, None]
    key = torch.arange(-(-length // MASK_ALIGNMENT) * MASK_ALIGNMENT, dtype=torch.float32, device=ends.device)
    to_end = F.pad(ends, (0, len(key) - length)).float()[:, None, None, :] - (query + 1)
    beyond = torch.minimum(to_end, query - key, out=to_end).clamp_(max=0)
    largest = torch.finfo(torch.float32).max
    return beyond.mul_(largest).mul_(largest).to(dtype)[..., :length]
