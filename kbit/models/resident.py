"""The resident engine: all weights lie where they are computed with."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from torch import Tensor
from transformers import PreTrainedModel

from kbit.models.architectures import find_architecture
from kbit.models.forward import last_hidden_states
from kbit.models.inputs import ModelInputs
from kbit.models.pristine import Twin, Weights
from kbit.spec.footprint import Footprint
from kbit.spec.quant import QuantSpec


class Resident:
    """A model in memory; runs one batch at a time, when its hidden states are asked for."""

    streams = False

    def __init__(self, model: PreTrainedModel, weights: Weights | None = None) -> None:
        """weights: None for a twin."""
        self.model = model
        self.weights = weights or Twin(model)
        self.placement = self.weights.placement
        self.statistics = self.weights.statistics
        self.config = model.config
        self.architecture = find_architecture(model.config)
        self.shares_prefixes = self.architecture.run_tries is not None
        self.device = model.get_input_embeddings().weight.device
        self.gpus = len({parameter.device for parameter in model.parameters() if parameter.is_cuda})

    def quantized(self, spec: QuantSpec, shown: Sequence[ModelInputs] = ()) -> AbstractContextManager[Footprint]:
        return self.weights.quantized(spec, shown)

    def hidden_states(self, batches: Sequence[ModelInputs]) -> Iterator[Tensor]:
        for inputs in batches:
            yield last_hidden_states(self.architecture, self.model, inputs)

    def logits(self, states: Tensor) -> Tensor:
        """Logits are the head applied to the last hidden states and nothing more: true of every registered
        architecture, as a test holds.
        """
        head = self.model.get_output_embeddings()
        return head(states.to(head.weight.device))
