"""A model whose weights stay in their files: each is read by its name within the model when it is wanted.

Names in files and names in the model differ (old checkpoints lack a prefix or call the head otherwise), and how is
transformers' business. So it is asked: a model is loaded from a stand-in for every tensor of the files, which has its
shape, takes no memory (one number, repeated by strides of 0), and whose number says which tensor it stands for.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kbit.models.load import NOT_LOADABLE, check_complete, empty_model, load_config
from kbit.models.locator import Locator, describe, not_loadable
from kbit.models.weight_files import WeightFiles, open_weight_files

MAX_TENSORS = 2**24
"""Above, float32 does not tell the numbers of the tensors apart."""


class StoredWeights:
    """The weights of a model, in files."""

    def __init__(self, model: PreTrainedModel, files: WeightFiles, names: dict[str, str]) -> None:
        self.model = model
        """The real class with its config and buffers; its parameters hold no values."""
        self._files = files
        self._names = names

    def read(self, name: str) -> Tensor:
        """The tensor that the model calls `name`, on the CPU, in the dtype of its file, not to be written to."""
        return self._files.read(self._names[name])

    def __contains__(self, name: str) -> bool:
        return name in self._names


def open_stored_weights(locator: Locator, trust_remote_code: bool = False) -> StoredWeights | None:
    """The weights of a causal LM in its files; None where they cannot be mapped, or not without being converted.

    UserError as `load_model` raises it, but for tensors that are not finite: their values are not looked at.
    """
    config = load_config(locator, trust_remote_code)
    files = open_weight_files(locator, trust_remote_code)
    if files is None or len(files.shapes) > MAX_TENSORS:
        return None
    file_names = list(files.shapes)
    stand_ins = {name: torch.tensor(float(i)).expand(files.shapes[name]) for i, name in enumerate(file_names)}
    try:
        model, loaded = type(empty_model(config, trust_remote_code)).from_pretrained(
            None, config=config, state_dict=stand_ins, dtype=torch.float32, output_loading_info=True
        )
    except NOT_LOADABLE as error:
        raise not_loadable(locator, "model", error) from error
    check_complete(loaded, describe(locator))
    state = model.state_dict()
    if any(any(tensor.stride()) and tensor.numel() > 1 for tensor in state.values()):
        return None
    names = {name: file_names[int(first_value(tensor))] for name, tensor in state.items()}
    return StoredWeights(model.requires_grad_(False).eval(), files, names)


def first_value(tensor: Tensor) -> float:
    return tensor[(0,) * tensor.dim()].item()
