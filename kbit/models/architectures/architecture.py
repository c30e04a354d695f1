"""What an architecture file states: where the blocks are, which of their layers are quantized, how tries are run."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

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
