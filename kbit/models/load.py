"""Read a model's weights from where a locator says. Never from the network; its own code runs only if trusted."""

import pickle

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from kbit.models.architectures import find_architecture
from kbit.models.locator import Locator, describe, find_source, not_loadable
from kbit.spec.errors import UserError, choice_error

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

NOT_LOADABLE = (OSError, ValueError, RuntimeError, ImportError, SafetensorError, pickle.UnpicklingError)
"""What transformers lets through when a file is missing, torn, or not what its name says, or (ImportError) when the
package that reads a GGUF file is not installed."""


def load_model(locator: Locator, dtype: str, device: str, trust_remote_code: bool = False) -> PreTrainedModel:
    """The causal LM in `dtype` on `device`, in evaluation mode, without gradients.

    trust_remote_code: run code that comes with the model's files. dtype: float32, float16 or bfloat16, always explicit,
    as transformers otherwise takes the checkpoint's. UserError, naming the model: its folder is missing or holds no
    checkpoint, its architecture is unknown, a tensor is missing from the checkpoint, or holds a NaN or infinity.
    """
    if dtype not in DTYPES:
        raise choice_error("dtype", dtype, DTYPES, "dtype of the study")
    source, options = find_source(locator, trust_remote_code)
    logging.disable_progress_bar()  # a job writes to a log
    try:
        config = AutoConfig.from_pretrained(source, **options)
        find_architecture(config)
        model, loaded = AutoModelForCausalLM.from_pretrained(
            source, config=config, dtype=DTYPES[dtype], output_loading_info=True, **options
        )
    except NOT_LOADABLE as error:
        raise not_loadable(locator, "model", error) from error
    if missing := sorted(loaded["missing_keys"]):
        listed = ", ".join(missing[:3])
        raise UserError(f"{describe(locator)}: the checkpoint lacks {listed} ({len(missing)} tensors in all)")
    check_finite(model, describe(locator))
    return model.requires_grad_(False).eval().to(device)


def check_finite(model: PreTrainedModel, owner: str) -> None:
    """UserError naming the first tensor with a NaN or infinity: broken, or beyond the range of the dtype."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.numel() and not torch.isfinite(tensor.sum(dtype=torch.float64)):
            n_bad = tensor.numel() - int(torch.isfinite(tensor).sum())
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise UserError(f"{owner}: tensor {name} has {n_bad} of {tensor.numel()} values NaN or infinite as {dtype}")
