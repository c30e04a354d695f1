"""What stands before the blocks of a model, run alone: the model's own code, up to its first block."""

from torch import Tensor, nn
from transformers import PreTrainedModel

from kbit.models.architectures import Architecture
from kbit.models.forward import last_hidden_states
from kbit.models.inputs import ModelInputs
from kbit.models.model_parts import Part
from kbit.models.traffic import BlockCall


class BlocksReachedError(Exception):
    """The model calls its first block."""

    def __init__(self, states: Tensor, call: BlockCall) -> None:
        super().__init__()
        self.states, self.call = states, call


class Stem(nn.Module):
    """Inputs of a batch -> what the first block is given: hidden states [rows, length, width], and the rest."""

    def __init__(self, architecture: Architecture, model: PreTrainedModel) -> None:
        super().__init__()
        self.architecture = architecture
        self.model = model

    def forward(self, inputs: ModelInputs) -> tuple[Tensor, BlockCall]:
        first = self.model.get_submodule(self.architecture.blocks)[0]
        with first.register_forward_pre_hook(take_down, with_kwargs=True):
            try:
                last_hidden_states(self.architecture, self.model, inputs)
            except BlocksReachedError as reached:
                return reached.states, reached.call
        raise RuntimeError(f"{type(self.model).__name__} does not call its blocks, {self.architecture.blocks}")


def take_down(_: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    states, *others = args
    raise BlocksReachedError(states, BlockCall(tuple(others), kwargs))


def stem_part(architecture: Architecture, model: PreTrainedModel, stem: Part) -> Part:
    """`stem` of a cut model as a part that ends at the blocks."""
    inner = {name: f"model.{local}" for name, local in stem.names.items()}
    return Part(
        Stem(architecture, model), inner, {f"model.{local}": tensor for local, tensor in stem.constants.items()}
    )
