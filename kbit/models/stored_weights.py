"""A model whose weights stay in their files: each is read by its name within the model when it is wanted.

Names in files and names in the model differ (old checkpoints lack a prefix or call the head otherwise), and how is
transformers' business. So it is asked: a model is loaded from a stand-in for every tensor of the files, which has its
shape, takes no memory (one number, repeated by strides of 0), and whose number says which tensor it stands for.
"""

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from kbit.models.architectures import find_architecture
from kbit.models.locator import Locator, describe, find_source, not_loadable
from kbit.models.weight_files import WeightFiles, open_weight_files
from kbit.spec.errors import UserError

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
    files = open_weight_files(locator)
    if files is None or len(files.shapes) > MAX_TENSORS:
        return None
    file_names = list(files.shapes)
    stand_ins = {name: torch.tensor(float(i)).expand(files.shapes[name]) for i, name in enumerate(file_names)}
    try:
        model, loaded = type(empty_model(config, trust_remote_code)).from_pretrained(
            None, config=config, state_dict=stand_ins, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise not_loadable(locator, "model", error) from error
    check_complete(loaded, describe(locator))
    state = model.state_dict()
    if any(any(tensor.stride()) and tensor.numel() > 1 for tensor in state.values()):
        return None
    names = {name: file_names[int(first_value(tensor))] for name, tensor in state.items()}
    return StoredWeights(model.requires_grad_(False).eval(), files, names)


def first_value(tensor: Tensor) -> float:
    return tensor[(0,) * tensor.dim()].item()


def load_config(locator: Locator, trust_remote_code: bool = False) -> PretrainedConfig:
    """The config of a model whose architecture is known. UserError, naming the model, if there is none."""
    source, options = find_source(locator, trust_remote_code)
    try:
        config = AutoConfig.from_pretrained(source, **options)
    except (OSError, ValueError) as error:
        raise not_loadable(locator, "model", error) from error
    find_architecture(config)
    return config


def empty_model(config: PretrainedConfig, trust_remote_code: bool = False) -> PreTrainedModel:
    """The causal LM of a config without weights: its parameters have shapes alone."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    model.tie_weights()
    return model


def check_complete(loaded: dict[str, object], owner: str) -> None:
    """UserError naming tensors that the checkpoint lacks: transformers fills them with random numbers."""
    if missing := sorted(loaded["missing_keys"]):
        listed = ", ".join(missing[:3])
        raise UserError(f"{owner}: the checkpoint lacks {listed} ({len(missing)} tensors in all)")
