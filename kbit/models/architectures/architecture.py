"""What an architecture file states: where the blocks are, what their layers do, how tries are run."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kbit.models.architectures.roles import Feeder, Roles
from kbit.models.inputs import ModelInputs
from kbit.spec.errors import UserError

LINEAR_CLASSES = (nn.Linear, Conv1D)


@dataclass(frozen=True, slots=True)
class Architecture:
    """The linear layers of one Hugging Face architecture. Embeddings, head, norms, biases stay at 16 bits."""

    model_type: str
    """The `model_type` of its config."""
    blocks: str
    """Path of the list of transformer blocks within the causal LM."""
    block_linears: tuple[str, ...]
    """Paths of the quantized layers within a block, in the order in which data meets them."""
    roles: Roles
    """What each of them does."""
    stem: tuple[tuple[str, ...], ...]
    """Paths, within the causal LM, of what is summed to the hidden states of the first block; of each tuple, the first
    that the model has."""
    after_blocks: tuple[str, ...]
    """Paths, within the causal LM, of what follows the blocks before the head, in order; a model may lack some."""
    run_tries: Callable[[PreTrainedModel, ModelInputs, Tensor], Tensor] | None = None
    """(base model, rows that are tries, the mask added to attention scores [rows, 1, length, length]) -> last hidden
    states [rows, length, width]. None: nobody has stated how it reads tries, so every request gets a row of its own."""

    def linears(self, model: PreTrainedModel) -> dict[str, nn.Module]:
        """Path -> layer, block by block. UserError if a block lacks a layer or has a linear that is not listed."""
        found = {}
        for index, block in enumerate(model.get_submodule(self.blocks)):
            inside = {name: layer for name, layer in block.named_modules() if isinstance(layer, LINEAR_CLASSES)}
            if odd := sorted(inside.keys() ^ set(self.block_linears)):
                raise UserError(
                    f"{self.blocks}.{index}: linear layers {', '.join(odd)} differ from those known for architecture "
                    f"{self.model_type!r}: {', '.join(self.block_linears)} (kbit/models/architectures)"
                )
            found |= {f"{self.blocks}.{index}.{name}": inside[name] for name in self.block_linears}
        return found

    def feeders(self, model: PreTrainedModel) -> dict[str, tuple[Feeder, ...]]:
        """Path of a quantized layer -> whose outputs its input dimensions are; see `Roles.feeders`."""
        modules = dict(model.named_modules())
        writers = tuple(Feeder(next(path for path in paths if path in modules), "embedding") for paths in self.stem)
        found = {}
        for index in range(len(model.get_submodule(self.blocks))):
            block = f"{self.blocks}.{index}"
            for name in self.block_linears:
                found[f"{block}.{name}"] = self.roles.feeders(name, model.config, block, writers)
            writers = self.roles.last_writers(model.config, block)
        return found

    def role_of(self, linear: str) -> str:
        """The role of a quantized layer, by its path within the causal LM."""
        return self.roles.find(self.place_of(linear)[1])

    def place_of(self, linear: str) -> tuple[int, str]:
        """The number of its block, and its path within that."""
        block, path = linear.removeprefix(f"{self.blocks}.").split(".", 1)
        return int(block), path
