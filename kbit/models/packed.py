"""A model whose quantized layers hold packed weights: made from a model, written to a folder, read back, run.

The folder is `config.json` with the tokenizer's files as transformers has them, and `model.safetensors` whose metadata
name the quantization spec (layout: docs/packed-models.md). What is not quantized is stored in the model's 16-bit dtype.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kbit.kernels import packed_ops
from kbit.kernels.cuda import gemv
from kbit.models.architectures import linears
from kbit.models.layer_statistics import live_statistics
from kbit.models.load import DTYPES
from kbit.models.quantized import distinct_weights, output_by_input
from kbit.quant.packed import (
    PackedWeight,
    block_size_of,
    check_packable,
    pack_weight,
    read_codebook,
    read_offsets,
    read_scales,
    unpack_weight,
)
from kbit.spec.errors import UserError
from kbit.spec.members import DEFAULT_ROTATION
from kbit.spec.quant import QuantSpec

LAYOUT = "1"
"""Of the file; raised when one that was written before could no longer be read."""
FILE = "model.safetensors"
SIXTEEN_BIT = ("float16", "bfloat16")


class PackedLinear(nn.Module):
    """A linear layer, or a Conv1D, that holds its weight packed and its bias as it was."""

    def __init__(self, weight: PackedWeight, bias: Tensor | None, is_transposed: bool) -> None:
        """is_transposed: the layer that it stands for is a Conv1D, which stores [in, out]."""
        super().__init__()
        self.spec, self.shape, self.dtype, self.is_transposed = weight.spec, weight.shape, weight.dtype, is_transposed
        self.names = tuple(weight.tensors)
        for name, tensor in weight.tensors.items():
            self.register_buffer(f"packed_{name}", tensor)
        self.register_buffer("bias", bias)

    @property
    def weight(self) -> PackedWeight:
        tensors = {name: getattr(self, f"packed_{name}") for name in self.names}
        return PackedWeight(self.spec, self.shape, self.dtype, tensors)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out], in its dtype.

        A few rows on a GPU are multiplied with the codes themselves; elsewhere the weight is unpacked for the product.
        """
        if x.is_cuda and self.takes_gemv(x.numel() // x.shape[-1]):
            return self.multiply(x)
        weight = unpack_weight(self.weight)
        if self.is_transposed:
            y = torch.addmm(self.bias, x.view(-1, x.shape[-1]), weight.t().contiguous())
            return y.view(*x.shape[:-1], self.shape[0])
        return functional.linear(x, weight, self.bias)

    def takes_gemv(self, n_rows: int) -> bool:
        is_plain = self.spec.rotation == DEFAULT_ROTATION and "kept" not in self.names
        has_one_codebook = "levels" not in self.names or self.packed_levels.dim() == 1
        return is_plain and has_one_codebook and gemv.takes(n_rows, self.shape[1], block_size_of(self.weight))

    def multiply(self, x: Tensor) -> Tensor:
        """By the codes; sums in fp32, the bias added after they are rounded."""
        weight = self.weight
        scale = read_scales(weight)
        y = packed_ops.gemv(
            x.reshape(-1, x.shape[-1]), weight.tensors["words"], read_codebook(weight), self.spec.bits, scale,
            read_offsets(weight, len(scale)), block_size_of(weight), self.shape[0],
        )  # fmt: skip
        y = y.view(*x.shape[:-1], self.shape[0])
        return y if self.bias is None else y + self.bias


@torch.no_grad()
def pack_model(model: PreTrainedModel, spec: QuantSpec) -> PreTrainedModel:
    """The model itself, each linear that a study would quantize now a PackedLinear. Weights have 16 bits.

    UserError: a weight that cannot be quantized, by name; a spec that cannot be packed; a dtype of 32 bits.
    """
    check_packable(spec)
    if (dtype := str(model.dtype).removeprefix("torch.")) not in SIXTEEN_BIT:
        raise UserError(f"dtype {dtype!r} of the model to pack is not one of {', '.join(SIXTEEN_BIT)}")
    layers = linears(model)
    statistics = live_statistics(model)
    # All that quantizing one layer looks at is asked for while every layer is as it came.
    needed = {name: statistics.of(name, spec) for name in distinct_weights(model, layers)}
    packed = {}
    for name, layer in layers.items():
        if name not in needed:
            raise UserError(f"{name}.weight is shared with another layer, which a packed model cannot express")
        values = layer.weight.t() if isinstance(layer, Conv1D) else layer.weight
        packed[name] = pack_weight(values, spec, f"{name}.weight", needed[name])
    for name, weight in packed.items():
        model.set_submodule(name, PackedLinear(weight, layers[name].bias, isinstance(layers[name], Conv1D)))
    return model


def save_packed(model: PreTrainedModel, spec: QuantSpec, folder: Path) -> int:
    """Write a packed model's config and weights; bytes of the weights' file. The tokenizer is the caller's."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    metadata = {
        "format": "pt", "kbit_layout": LAYOUT, "kbit_spec": json.dumps(spec.model_dump(mode="json")),
        "dtype": str(model.dtype).removeprefix("torch."),
    }  # fmt: skip
    partial = folder / f"{FILE}.partial"
    save_file(distinct_tensors(model), partial, metadata=metadata)
    partial.replace(folder / FILE)
    return (folder / FILE).stat().st_size


def distinct_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    """What the file holds: parameters and packed tensors, tied ones once; nothing that the config alone says."""
    packed = {name for name, module in model.named_modules() if isinstance(module, PackedLinear)}
    kept = {name for name, _ in model.named_parameters()}  # tied ones appear once
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name in kept or name.rpartition(".")[0] in packed:
            tensors[name] = tensor.contiguous()
    return tensors


def load_packed(folder: Path, device: str = "cpu") -> PreTrainedModel:
    """The model that `kbit export` wrote into a folder, in evaluation mode, without gradients.

    On a CPU each product unpacks its layer's weight, and logits equal those of the fake-quantized model; on a GPU one
    to four rows are multiplied with the codes themselves. UserError, naming the file: it is missing, damaged, or of
    another layout.
    """
    tensors, metadata = read_file(folder / FILE)
    dtype = DTYPES[metadata["dtype"]]
    spec = QuantSpec(**json.loads(metadata["kbit_spec"]))
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with init_empty_weights():
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    for name, layer in linears(model).items():
        own = {key.removeprefix(f"{name}.packed_"): tensors.pop(key) for key in packed_keys(tensors, name)}
        if "words" not in own:
            raise UserError(f"{folder / FILE}: no packed weight of {name}: the file is not whole")
        weight = PackedWeight(spec, output_by_input(layer), dtype, own)
        bias = tensors.pop(f"{name}.bias", None)
        model.set_submodule(name, PackedLinear(weight, bias, isinstance(layer, Conv1D)))
    missing, unexpected = model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    if unexpected or any(parameter.is_meta for parameter in model.parameters()):
        raise UserError(f"{folder / FILE}: not the tensors of {folder / 'config.json'}: {(unexpected or missing)[:3]}")
    return model.to(device).requires_grad_(False).eval()


def read_file(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Tensors and metadata. UserError, naming the file."""
    if not path.is_file():
        raise UserError(f"no packed model {path}: `kbit export MODEL SPEC FOLDER` writes one")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it has no other iterator)
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read ({error}): export it again") from error
    if metadata.get("kbit_layout") != LAYOUT:
        found = metadata.get("kbit_layout", "none")
        raise UserError(f"{path} has packed layout {found}, this release reads {LAYOUT}: export it again")
    return tensors, metadata


def packed_keys(tensors: Mapping[str, Tensor], name: str) -> list[str]:
    return [key for key in tensors if key.startswith(f"{name}.packed_")]
