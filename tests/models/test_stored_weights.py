"""Weights read from their files by the names they have in the model, however the files call and hold them."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kbit.models.architectures import ARCHITECTURES
from kbit.models.load import load_model
from kbit.models.stored_weights import open_stored_weights
from kbit.spec.errors import UserError


@pytest.fixture
def copy(tiny, tmp_path):
    """Architecture -> locator of a copy that a test may change, and its weights."""

    def make(architecture: str):
        folder = Path(shutil.copytree(tiny(architecture)["path"], tmp_path / architecture))
        return {**tiny(architecture), "path": str(folder)}, load_file(folder / "model.safetensors")

    return make


def assert_equal_to_loaded(locator) -> None:
    """Every tensor, in the dtype of its file, is what transformers loads."""
    stored = open_stored_weights(locator)
    for name, tensor in load_model(locator, "float32", "cpu").state_dict().items():
        assert torch.equal(stored.read(name).float(), tensor), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_tensor_is_what_is_loaded(tiny, architecture):
    assert_equal_to_loaded(tiny(architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_takes_no_memory(tiny, architecture):
    """Nothing but computed buffers has values before they are read, and what is read is the file's own memory."""
    stored = open_stored_weights(tiny(architecture))
    assert all(parameter.untyped_storage().nbytes() == 4 for parameter in stored.model.parameters())
    name = next(iter(stored.model.state_dict()))
    assert stored.read(name).dtype == torch.float16
    assert stored.read(name).data_ptr() == stored.read(name).data_ptr()


@pytest.mark.parametrize("prefix", [("bloom", "transformer."), ("gpt2", "transformer."), ("opt", "model.")])
def test_files_of_the_base_model_alone(copy, prefix):
    """As published for GPT-2, OPT and BLOOM: names lack the prefix, and there is no head."""
    architecture, prefix = prefix
    locator, state = copy(architecture)
    state = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    save_file(state, Path(locator["path"]) / "model.safetensors", metadata={"format": "pt"})
    assert_equal_to_loaded(locator)


@pytest.mark.parametrize("name", ["embed_out.weight", "lm_head.weight"])
def test_old_and_new_name_of_the_neox_head(copy, name):
    locator, state = copy("gpt_neox")
    [head] = {"embed_out.weight", "lm_head.weight"} & state.keys()
    state[name] = state.pop(head)
    save_file(state, Path(locator["path"]) / "model.safetensors", metadata={"format": "pt"})
    assert_equal_to_loaded(locator)


def test_files_of_several_dtypes(copy):
    locator, state = copy("llama")
    state = {name: tensor.float() if "norm" in name else tensor for name, tensor in state.items()}
    save_file(state, Path(locator["path"]) / "model.safetensors", metadata={"format": "pt"})
    stored = open_stored_weights(locator)
    assert stored.read("model.norm.weight").dtype == torch.float32
    assert stored.read("model.layers.0.self_attn.q_proj.weight").dtype == torch.float16
    assert_equal_to_loaded(locator)


def test_a_bin_checkpoint_in_two_files(copy):
    """Mapped as well, through torch's loader for weights alone."""
    locator, state = copy("gpt2")
    folder = Path(locator["path"])
    (folder / "model.safetensors").unlink()
    names = sorted(state)
    shards = {"pytorch_model-00001-of-00002.bin": names[:9], "pytorch_model-00002-of-00002.bin": names[9:]}
    weight_map = {}
    for file, inside in shards.items():
        torch.save({name: state[name] for name in inside}, folder / file)
        weight_map |= dict.fromkeys(inside, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert_equal_to_loaded(locator)
    stored = open_stored_weights(locator)
    name = "transformer.h.0.mlp.c_fc.weight"
    assert stored.read(name).data_ptr() == stored.read(name).data_ptr()


def test_an_old_bin_file_cannot_be_mapped(copy):
    locator, state = copy("gpt2")
    (Path(locator["path"]) / "model.safetensors").unlink()
    torch.save(state, Path(locator["path"]) / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert open_stored_weights(locator) is None


def test_a_missing_tensor(copy):
    locator, state = copy("gpt_neox")
    name = "gpt_neox.layers.0.attention.dense.weight"
    del state[name]
    save_file(state, Path(locator["path"]) / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"the checkpoint lacks {re.escape(name)} \\(1 tensors in all"):
        open_stored_weights(locator)


def test_a_tensor_of_another_shape(copy):
    locator, state = copy("gpt_neox")
    state["gpt_neox.final_layer_norm.weight"] = torch.ones(7)
    save_file(state, Path(locator["path"]) / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="no model could be loaded from"):
        open_stored_weights(locator)


def test_an_index_that_is_none(copy):
    locator, _ = copy("gpt_neox")
    (Path(locator["path"]) / "model.safetensors").unlink()
    (Path(locator["path"]) / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(UserError, match="json is not an index of weights"):
        open_stored_weights(locator)


def test_a_truncated_file(copy):
    locator, _ = copy("gpt_neox")
    file = Path(locator["path"]) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UserError, match="no model could be loaded from") as caught:
        open_stored_weights(locator)
    assert "\n" not in str(caught.value)
