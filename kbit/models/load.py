"""Read a model's weights from where a locator says. Never from the network; its own code runs only if trusted."""

import pickle
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from kbit.models.architectures import find_architecture
from kbit.models.locator import Locator, describe, find_source, not_loadable
from kbit.spec.errors import UserError, choice_error

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

NOT_LOADABLE = (OSError, ValueError, RuntimeError, ImportError, SafetensorError, pickle.UnpicklingError)
"""What transformers lets through when a file is missing, torn, or not what its name says, or (ImportError) when the
package that reads a GGUF file is not installed."""


def load_model(
    locator: Locator,
    dtype: str,
    device: str,
    trust_remote_code: bool = False,
    device_map: Mapping[str, int | str] | None = None,
) -> PreTrainedModel:
    """The causal LM in `dtype` on `device`, in evaluation mode, without gradients.

    trust_remote_code: run code that comes with the model's files. dtype: float32, float16 or bfloat16, always explicit,
    as transformers otherwise takes the checkpoint's. device_map: path of a module -> its device, for several of them
    (`kbit.models.device_map`). UserError, naming the model: its folder is missing or holds no checkpoint, its
    architecture is unknown, a tensor is missing from the checkpoint, or holds a NaN or infinity.
    """
    source, options = find_source(locator, trust_remote_code)
    config = load_config(locator, trust_remote_code)
    if device_map is None and device != "cpu":
        device_map = {"": 0}  # tensors go from the file to the device one by one, not by way of a whole model
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=find_dtype(dtype),
            device_map=device_map and dict(device_map),
            output_loading_info=True,
            **options,
        )
    except NOT_LOADABLE as error:
        raise not_loadable(locator, "model", error) from error
    check_complete(loaded, describe(locator))
    for name, tensor in model.state_dict().items():
        check_finite(tensor, name, describe(locator))
    return model.requires_grad_(False).eval()


def find_dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise choice_error("dtype", name, DTYPES, "dtype of the study")
    return DTYPES[name]


def load_config(locator: Locator, trust_remote_code: bool = False) -> PretrainedConfig:
    """The config of a model of a known architecture. UserError, naming the model, if there is none."""
    source, options = find_source(locator, trust_remote_code)
    logging.disable_progress_bar()  # a job writes to a log
    try:
        config = AutoConfig.from_pretrained(source, **options)
    except NOT_LOADABLE as error:
        raise not_loadable(locator, "model", error) from error
    find_architecture(config)
    return config


def empty_model(config: PretrainedConfig, trust_remote_code: bool = False) -> PreTrainedModel:
    """The causal LM of a config without values: its parameters have shapes alone, in float32."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=trust_remote_code)
    model.tie_weights()
    return model


def check_complete(loaded: Mapping[str, object], owner: str) -> None:
    """UserError naming tensors that the checkpoint lacks: transformers fills them with random numbers."""
    if missing := sorted(loaded["missing_keys"]):
        listed = ", ".join(missing[:3])
        raise UserError(f"{owner}: the checkpoint lacks {listed} ({len(missing)} tensors in all)")


def check_finite(tensor: Tensor, name: str, owner: str) -> None:
    """UserError for a tensor with a NaN or infinity: broken, or beyond the range of the dtype."""
    if tensor.is_floating_point() and tensor.numel() and not torch.isfinite(tensor.sum(dtype=torch.float64)):
        n_bad = tensor.numel() - int(torch.isfinite(tensor).sum())
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise UserError(f"{owner}: tensor {name} has {n_bad} of {tensor.numel()} values NaN or infinite as {dtype}")
