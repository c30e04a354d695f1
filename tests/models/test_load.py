"""Loading: the dtype asked for, every fault one line that names model and tensor, nothing from the network."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kbit.models.architectures import ARCHITECTURES, linears
from kbit.models.load import DTYPES, load_model
from kbit.models.tokenizer import load_tokenizer
from kbit.spec.errors import UserError
from kbit.spec.models import ModelEntry, resolve_model

SHIPPED = Path(__file__).parents[2] / "data" / "models"
NEOX = SHIPPED / "neox-32x2"


def locator(path: Path | None, **values: object) -> dict[str, object]:
    return {"name": "little", "model_id": "x", "hub_id": None, "revision": None, "path": path and str(path), **values}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkpoint to break."""
    return Path(shutil.copytree(NEOX, tmp_path / "neox"))


def rewrite(folder: Path, changes: dict[str, torch.Tensor | None]) -> None:
    """Replace tensors of the checkpoint; None drops one."""
    state = load_file(folder / "model.safetensors") | changes
    state = {name: value for name, value in state.items() if value is not None}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_is_the_one_asked_for(dtype: str) -> None:
    """The checkpoint is fp16, and transformers would load it as such."""
    model = load_model(locator(NEOX), dtype, "cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {DTYPES[dtype]}
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_weights_are_those_of_the_file() -> None:
    model = load_model(locator(NEOX), "float32", "cpu")
    stored = load_file(NEOX / "model.safetensors")
    state = model.state_dict()
    stored["lm_head.weight"] = stored.pop("embed_out.weight")  # the head's name in transformers 5
    assert stored.keys() == state.keys()
    for name, tensor in stored.items():
        assert torch.equal(state[name], tensor.float()), name


def test_the_locator_of_a_resolved_model_loads(tmp_path: Path) -> None:
    entry = ModelEntry(name="little", family="NeoX", path=str(NEOX))
    model = resolve_model(entry, tmp_path / "models.yaml")
    loaded = load_model(model.locator(), "float32", "cpu")
    assert sum(parameter.numel() for parameter in loaded.parameters()) == model.parameters


@pytest.mark.parametrize("folder", ["neox-32x2", "gpt2-32x2", "opt-32x2", "bloom-32x2"])
def test_shipped_models_load_with_their_tokenizer(folder: str) -> None:
    model = load_model(locator(SHIPPED / folder), "float32", "cpu")
    tokenizer = load_tokenizer(locator(SHIPPED / folder))
    tokens = tokenizer("The ship was seen from the shore.", return_tensors="pt").input_ids
    assert tokens.max() < model.config.vocab_size
    with torch.no_grad():
        assert torch.isfinite(model(tokens).logits).all()
    assert linears(model)
    assert model.config.model_type in ARCHITECTURES


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"model 'little': .*/gone is not a folder \(path of the model in its data sheet\)"
    ):
        load_model(locator(tmp_path / "gone"), "float32", "cpu")


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model 'little': .* holds no config\.json"):
        load_model(locator(tmp_path), "float32", "cpu")
    with pytest.raises(UserError, match=r"model 'little': .* holds no config\.json"):
        load_tokenizer(locator(tmp_path))


def test_config_alone(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"^model 'little': no model could be loaded from .*neox: "):
        load_model(locator(copy), "float32", "cpu")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", None], ids=["empty", "text", "truncated"])
def test_broken_weights_file(copy: Path, content: bytes | None) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000] if content is None else content)
    with pytest.raises(UserError, match=r"^model 'little': no model could be loaded from .*neox: ") as caught:
        load_model(locator(copy), "float32", "cpu")
    assert "\n" not in str(caught.value)


def test_broken_config(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"^model 'little': no model could be loaded from "):
        load_model(locator(copy), "float32", "cpu")


def test_unknown_architecture_is_refused_before_its_weights_are_read(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match="model_type 'mamba' is not one of bloom, gpt2, gpt_neox, llama, opt"):
        load_model(locator(copy), "float32", "cpu")


NAME = "gpt_neox.layers.0.attention.dense.weight"


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf], ids=str)
@pytest.mark.parametrize("name", [NAME, "gpt_neox.embed_in.weight", "gpt_neox.layers.1.attention.dense.bias"])
def test_a_tensor_that_is_not_finite_is_named(copy: Path, name: str, bad: float) -> None:
    tensor = load_file(copy / "model.safetensors")[name]
    tensor.view(-1)[5] = bad
    rewrite(copy, {name: tensor})
    message = f"^model 'little': tensor {re.escape(name)} has 1 of {tensor.numel()} values NaN or infinite as float32"
    with pytest.raises(UserError, match=message):
        load_model(locator(copy), "float32", "cpu")


def test_plus_and_minus_infinity_do_not_cancel(copy: Path) -> None:
    tensor = load_file(copy / "model.safetensors")[NAME]
    tensor[0, :2] = torch.tensor([torch.inf, -torch.inf])
    rewrite(copy, {NAME: tensor})
    with pytest.raises(UserError, match="has 2 of 1024 values NaN or infinite"):
        load_model(locator(copy), "float32", "cpu")


def test_a_value_beyond_the_dtype_is_named(copy: Path) -> None:
    tensor = load_file(copy / "model.safetensors")[NAME].float()
    tensor[0, 0] = 1e6
    rewrite(copy, {NAME: tensor})
    load_model(locator(copy), "float32", "cpu")
    with pytest.raises(UserError, match=r"attention\.dense\.weight has 1 of 1024 values NaN or infinite as float16"):
        load_model(locator(copy), "float16", "cpu")


def test_a_missing_tensor_is_not_made_up(copy: Path) -> None:
    """transformers would fill it with random numbers and say so in a log."""
    rewrite(copy, {NAME: None})
    with pytest.raises(
        UserError, match=r"the checkpoint lacks gpt_neox\.layers\.0\.attention\.dense\.weight \(1 tensors"
    ):
        load_model(locator(copy), "float32", "cpu")


def test_unknown_dtype() -> None:
    with pytest.raises(UserError, match="dtype 'auto' is not one of float32, float16, bfloat16"):
        load_model(locator(NEOX), "auto", "cpu")


def test_a_hub_model_that_is_not_in_the_cache() -> None:
    """Nothing is fetched here; jobs run where there is no network."""
    absent = locator(None, hub_id="EleutherAI/pythia-70m", revision="0123456789" * 4)
    for load in (lambda: load_model(absent, "float32", "cpu"), lambda: load_tokenizer(absent)):
        with pytest.raises(
            UserError, match=r"EleutherAI/pythia-70m at 012345678901 is not in the hub cache .*kbit fetch STUDY"
        ):
            load()
