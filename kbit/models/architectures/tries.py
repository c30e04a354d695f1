"""How an architecture runs rows that are tries (`kbit.models.inputs`)."""

from torch import Tensor
from transformers import PreTrainedModel

from kbit.models.inputs import ModelInputs


def run_by_position_ids(base_model: PreTrainedModel, inputs: ModelInputs, mask: Tensor) -> Tensor:
    """For models that take the positions of tokens and pass a 4-D mask on to their attention as it is."""
    return base_model(input_ids=inputs.tokens, position_ids=inputs.positions, attention_mask=mask, use_cache=False)[0]
