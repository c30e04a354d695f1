"""The parameters of a model, counted on its real transformers class without allocating a weight."""

from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from kbit.models.architectures import linears


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of parameters, as the data sheet states them."""

    parameters: int
    """All, tied tensors once."""
    quantized_parameters: int
    """Weights of the linear layers inside the transformer blocks."""


def count_parameters(config: PretrainedConfig) -> Counts:
    """Counts of the causal language model of a config. UserError for an architecture that cannot be quantized."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    return Counts(
        parameters=sum(parameter.numel() for parameter in model.parameters()),  # lists a tied tensor once
        quantized_parameters=sum(layer.weight.numel() for layer in linears(model).values()),
    )
