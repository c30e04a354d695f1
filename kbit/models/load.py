"""Read a model's weights and tokenizer from where a locator says. Never from the network, never running its code."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from kbit.models.architectures import find_architecture
from kbit.spec.errors import UserError, choice_error

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

NOT_LOADABLE = (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError)
"""What transformers lets through when a file is missing, torn, or not what its name says."""

Locator = Mapping[str, object]
"""`kbit.spec.models.Model.locator()`: name, and either path or hub_id with revision."""


def load_model(locator: Locator, dtype: str, device: str) -> PreTrainedModel:
    """The causal LM in `dtype` on `device`, in evaluation mode, without gradients.

    dtype: float32, float16 or bfloat16, always explicit, as transformers otherwise takes the checkpoint's. UserError,
    naming the model: its folder is missing or holds no checkpoint, its architecture is unknown, a tensor is missing
    from the checkpoint, or holds a NaN or infinity.
    """
    if dtype not in DTYPES:
        raise choice_error("dtype", dtype, DTYPES, "dtype of the study")
    source, options = find_source(locator)
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


def load_tokenizer(locator: Locator) -> PreTrainedTokenizerBase:
    """The model's tokenizer. UserError, naming the model, if there is none."""
    source, options = find_source(locator)
    try:
        return AutoTokenizer.from_pretrained(source, **options)
    except NOT_LOADABLE as error:
        raise not_loadable(locator, "tokenizer", error) from error


def find_source(locator: Locator) -> tuple[str, dict[str, object]]:
    """What transformers calls the name or path, and the options that go with it."""
    options: dict[str, object] = {"local_files_only": True, "trust_remote_code": False}
    if locator["path"] is None:
        return str(locator["hub_id"]), {**options, "revision": locator["revision"]}
    folder = Path(str(locator["path"]))
    if not (folder / "config.json").is_file():
        state = "holds no config.json" if folder.is_dir() else "is not a folder"
        raise UserError(f"{describe(locator)}: {folder} {state} (path of the model in its data sheet)")
    return str(folder), options


def describe(locator: Locator) -> str:
    return f"model {locator['name']!r}"


def not_loadable(locator: Locator, what: str, error: Exception) -> UserError:
    """The first line of what transformers says; its advice to go online does not apply here."""
    place = locator["path"] or f"{locator['hub_id']} (revision {locator['revision']}, in the local hub cache)"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(f"{describe(locator)}: no {what} could be loaded from {place}: {lines[0]}")


def check_finite(model: PreTrainedModel, owner: str) -> None:
    """UserError naming the first tensor with a NaN or infinity: broken, or beyond the range of the dtype."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.numel() and not torch.isfinite(tensor.sum(dtype=torch.float64)):
            n_bad = tensor.numel() - int(torch.isfinite(tensor).sum())
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise UserError(f"{owner}: tensor {name} has {n_bad} of {tensor.numel()} values NaN or infinite as {dtype}")
