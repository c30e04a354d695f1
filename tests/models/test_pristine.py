"""Twin, host and mapped: the same weights bit for bit under every spec, and never a half quantized model unnoticed."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from kbit.models.architectures import ARCHITECTURES, linears
from kbit.models.load import load_model
from kbit.models.pristine import keep_pristine
from kbit.models.stored_weights import open_stored_weights
from kbit.spec.errors import UnsupportedError
from kbit.spec.quant import CONTROL, QuantSpec

INT3 = QuantSpec(data_type="int", bits=3, block_size=64)
PROXY = QuantSpec(data_type="int", bits=3, block_size=64, outlier_fraction=0.1)
SPECS = [
    PROXY,
    INT3,
    QuantSpec(data_type="quantile", bits=4, block_size="tensor"),
    CONTROL,
    QuantSpec(data_type="float", bits=4, exponent_bits=2, block_size="row"),
    CONTROL,
]
DTYPES = ["float32", "float16"]
"""Of which the files hold the second."""
ONE_COPY = ["host", "mapped"]


def snapshot(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Every bit of every tensor."""
    assert left.keys() == right.keys()
    return all(
        left[name].dtype == right[name].dtype
        and torch.equal(left[name].contiguous().view(torch.uint8), right[name].contiguous().view(torch.uint8))
        for name in left
    )


def forward(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        return model.base_model(torch.arange(1, 21).view(2, 10), use_cache=False)[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_weights_in_every_placement(tiny, architecture, dtype):
    locator = tiny(architecture)
    models = {placement: load_model(locator, dtype, "cpu") for placement in ("twin", *ONE_COPY)}
    stored = open_stored_weights(locator)
    weights = {placement: keep_pristine(model, placement, stored) for placement, model in models.items()}
    assert [kept.placement for kept in weights.values()] == ["twin", *ONE_COPY]
    pristine = snapshot(models["twin"])
    for spec in SPECS:
        with weights["twin"].quantized(spec) as footprint:
            expected, output = snapshot(models["twin"]), forward(models["twin"])
        assert same(expected, pristine) == (spec == CONTROL)
        for placement in ONE_COPY:
            with weights[placement].quantized(spec) as found:
                assert found == footprint
                assert same(snapshot(models[placement]), expected), (placement, spec)
                assert torch.equal(forward(models[placement]), output)


@pytest.mark.parametrize("placement", ONE_COPY)
def test_one_copy_on_the_device(tiny, placement):
    """Parameters keep their memory: quantized values are written over what was there."""
    model = load_model(tiny("llama"), "float32", "cpu")
    weights = keep_pristine(model, placement, open_stored_weights(tiny("llama")))
    before = [parameter.data_ptr() for parameter in model.parameters()]
    for spec in SPECS:
        with weights.quantized(spec):
            assert [parameter.data_ptr() for parameter in model.parameters()] == before


@pytest.mark.parametrize("placement", ONE_COPY)
def test_outside_of_a_block_it_runs_pristine_or_not_at_all(tiny, placement):
    model = load_model(tiny("gpt_neox"), "float32", "cpu")
    weights = keep_pristine(model, placement, open_stored_weights(tiny("gpt_neox")))
    before, output = snapshot(model), forward(model)
    with pytest.raises(KeyboardInterrupt), weights.quantized(INT3):
        raise KeyboardInterrupt
    with pytest.raises(RuntimeError, match="the model is still quantized as int3-b64: run it inside"):
        forward(model)
    with weights.quantized(CONTROL):
        pass
    assert torch.equal(forward(model), output)
    assert same(snapshot(model), before)


@pytest.mark.parametrize("placement", ONE_COPY)
def test_a_weight_that_cannot_be_quantized_leaves_no_half_quantized_model(tiny, tmp_path, placement):
    folder = Path(shutil.copytree(tiny("gpt_neox")["path"], tmp_path / "large"))
    state = load_file(folder / "model.safetensors")
    name = "gpt_neox.layers.2.mlp.dense_4h_to_h.weight"
    state[name] = state[name].float()
    state[name][0, 0] = 1e6
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    locator = {**tiny("gpt_neox"), "path": str(folder)}
    model = load_model(locator, "float32", "cpu")
    weights = keep_pristine(model, placement, open_stored_weights(locator))
    before, output = snapshot(model), forward(model)
    with pytest.raises(UnsupportedError, match=f"^{name}: its largest weight"), weights.quantized(INT3):
        pytest.fail("the block must not be entered")
    assert not same(snapshot(model), before)
    with pytest.raises(RuntimeError, match="the model is half quantized: run it inside"):
        forward(model)
    with weights.quantized(CONTROL):
        assert torch.equal(forward(model), output)
    assert same(snapshot(model), before)


@pytest.mark.parametrize("placement", ONE_COPY)
def test_nesting_is_refused_and_does_no_harm(tiny, placement):
    model = load_model(tiny("opt"), "float32", "cpu")
    weights = keep_pristine(model, placement, open_stored_weights(tiny("opt")))
    with weights.quantized(INT3):
        inside = snapshot(model)
        with pytest.raises(RuntimeError, match="quantized already; leave that block before quantizing it as none16"):
            weights.quantized(CONTROL).__enter__()
        assert same(snapshot(model), inside)


def test_files_that_hold_other_values_are_not_mapped(tiny):
    """What is loaded counts: a loader that converts weights must not be bypassed."""
    model = load_model(tiny("gpt2"), "float32", "cpu")
    last = list(linears(model).values())[-1]
    last.weight.data[0, 0] += 1
    weights = keep_pristine(model, "mapped", open_stored_weights(tiny("gpt2")))
    assert weights.placement == "host"
    before = snapshot(model)
    with weights.quantized(INT3):
        pass
    with weights.quantized(CONTROL):
        assert same(snapshot(model), before)


def test_without_files_to_map_it_is_the_host(tiny):
    assert keep_pristine(load_model(tiny("gpt2"), "float32", "cpu"), "mapped", None).placement == "host"
