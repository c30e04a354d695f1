"""The engine: a model that can be quantized and run, wherever its weights lie."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from kbit.models.inputs import ModelInputs
from kbit.models.layer_statistics import LayerStatistics
from kbit.spec.footprint import Footprint
from kbit.spec.quant import QuantSpec


class Engine(Protocol):
    """What scoring needs of a model. Implementations differ in where the weights lie, not in any score."""

    model: PreTrainedModel
    """Of the real class; where its weights do not lie whole on devices, its parameters hold no values."""
    config: PretrainedConfig
    device: torch.device
    """Where inputs and targets are put."""
    placement: str
    """twin, host, mapped or streamed: `kbit.spec.placement`."""
    gpus: int
    """GPUs that hold the weights; 0 on a CPU."""
    streams: bool
    """A pass over the weights is so dear that all batches at hand should share it."""
    shares_prefixes: bool
    """Rows may be tries."""
    statistics: LayerStatistics
    """Of the pristine weights."""

    def quantized(self, spec: QuantSpec, shown: Sequence[ModelInputs] = ()) -> AbstractContextManager[Footprint]:
        """Within the block the model computes with weights under `spec`, see `kbit.models.pristine`.

        shown: sequences that calibrated specs are solved for, plain rows; what they come to depends on how these are
        put together, as sums round.
        Outside of blocks it is pristine or refuses to run; under the 16-bit control it is pristine and runs.
        A weight that `spec` cannot take (UnsupportedError) shows here or, if the engine streams, in the pass.
        """

    def hidden_states(self, batches: Sequence[ModelInputs]) -> Iterator[Tensor]:
        """Of each batch in order: the last hidden states, after the final norm, [rows, length, width]."""

    def logits(self, states: Tensor) -> Tensor:
        """The head: [n, width] -> [n, vocabulary], in the compute dtype."""
