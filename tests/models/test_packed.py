"""Packed models: what is written, what is read back, and what it computes."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_models import CONFIGS, save_tiny_model

from kbit.models.architectures import linears
from kbit.models.load import load_model
from kbit.models.packed import FILE, load_packed, pack_model, save_packed
from kbit.models.quantized import distinct_weights, measure, quantized
from kbit.spec.errors import UserError
from kbit.spec.quant import CONTROL, QuantSpec

INT3 = QuantSpec(data_type="int", bits=3, block_size=64)
SPECS = [
    INT3,
    QuantSpec(data_type="nf", bits=4, block_size=64, scale_format="dq"),
    QuantSpec(data_type="kmeans", bits=3, block_size="row"),
    QuantSpec(data_type="int", bits=4, block_size=64, outlier_fraction=0.1, rotation="none"),
    QuantSpec(data_type="int-asym", bits=5, block_size=32, rotation="hadamard"),
]
TOKENS = torch.tensor([[1, 5, 9, 2, 33, 7], [4, 4, 60, 12, 3, 8]])


@pytest.fixture(scope="module", params=list(CONFIGS))
def locator(request, tmp_path_factory):
    return save_tiny_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.slug)
def test_logits_are_those_of_the_fake_quantized_model(locator, spec: QuantSpec, tmp_path):
    model = load_model(locator, "float16", "cpu")
    with torch.inference_mode(), quantized(model, spec):
        expected = model(TOKENS).logits.clone()
    save_packed(pack_model(model, spec), spec, tmp_path / "out")
    loaded = load_packed(tmp_path / "out")
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with torch.inference_mode():
        assert torch.equal(loaded(TOKENS).logits, expected)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.slug)
def test_the_file_takes_the_bits_that_are_counted(locator, spec: QuantSpec, tmp_path):
    """But for safetensors' header, and in each layer a last group of 32 codes and the last word of a mask."""
    model = load_model(locator, "bfloat16", "cpu")
    weights = distinct_weights(model, linears(model))
    counted = measure(model, spec, weights).total_bits / 8
    n_bytes = save_packed(pack_model(model, spec), spec, tmp_path)
    header = int.from_bytes((tmp_path / FILE).read_bytes()[:8], "little") + 8
    slack = len(weights) * (31 * spec.bits / 8 + 4)
    assert counted <= n_bytes - header <= counted + slack


def test_a_folder_without_a_packed_model(tmp_path):
    with pytest.raises(UserError, match="no packed model"):
        load_packed(tmp_path)


@pytest.fixture
def folder(tmp_path):
    model = load_model(save_tiny_model("llama", tmp_path / "model"), "float16", "cpu")
    save_packed(pack_model(model, INT3), INT3, tmp_path / "packed")
    return tmp_path / "packed"


def test_a_torn_file(folder):
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read"):
        load_packed(folder)


def test_another_layout_and_missing_tensors(folder):
    tensors = load_file(folder / FILE)
    with safe_open(folder / FILE, framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["kbit_spec"])["bits"] == 3
    save_file(tensors, folder / FILE, metadata={**metadata, "kbit_layout": "0"})
    with pytest.raises(UserError, match="has packed layout 0, this release reads 1"):
        load_packed(folder)
    del tensors[next(name for name in tensors if name.endswith("packed_words"))]
    save_file(tensors, folder / FILE, metadata=metadata)
    with pytest.raises(UserError, match="no packed weight of"):
        load_packed(folder)


def test_what_cannot_be_packed(tmp_path):
    locator = save_tiny_model("llama", tmp_path)
    with pytest.raises(UserError, match="nothing to pack"):
        pack_model(load_model(locator, "float16", "cpu"), CONTROL)
    with pytest.raises(UserError, match="dtype 'float32' of the model to pack is not one of float16, bfloat16"):
        pack_model(load_model(locator, "float32", "cpu"), INT3)


def test_a_compiled_packed_model(folder):
    """torch.compile traces the operators by their fakes; without a compiler of its own, the graph runs eagerly."""
    loaded = load_packed(folder)
    with torch.inference_mode():
        expected = loaded(TOKENS).logits
        compiled = torch.compile(loaded, backend="aot_eager")
        assert torch.allclose(compiled(TOKENS).logits, expected, atol=1e-3)  # half precision, another order of sums
