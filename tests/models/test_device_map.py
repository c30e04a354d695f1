"""Maps of modules to devices: complete, consecutive, even in bytes; and a model that runs by one."""

import pytest
import torch
from accelerate import dispatch_model
from transformers import BloomConfig, GPT2Config, GPTNeoXConfig, LlamaConfig, OPTConfig

from kbit.models.architectures import ARCHITECTURES
from kbit.models.device_map import map_devices, split_evenly
from kbit.models.inputs import ModelInputs
from kbit.models.load import empty_model, load_config, load_model
from kbit.models.pristine import keep_pristine
from kbit.models.resident import Resident
from kbit.models.stored_weights import open_stored_weights
from kbit.spec.quant import CONTROL, QuantSpec

INT3 = QuantSpec(data_type="int", bits=3, block_size=64)
PROXY = QuantSpec(data_type="int", bits=3, block_size=64, outlier_fraction=0.1)

# The largest of each family, as their config.json files on the hub say, and the devices of 80 GB their weights need.
LARGE = {
    "gpt-neox-20b": (
        GPTNeoXConfig(vocab_size=50432, hidden_size=6144, num_hidden_layers=44, intermediate_size=24576),
        2,
    ),
    "gpt2-xl": (GPT2Config(n_embd=1600, n_layer=48, n_head=25), 3),
    "opt-350m": (
        OPTConfig(
            vocab_size=50272,
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            ffn_dim=4096,
            word_embed_proj_dim=512,
            do_layer_norm_before=False,
        ),
        2,
    ),
    "opt-66b": (
        OPTConfig(vocab_size=50272, hidden_size=9216, num_hidden_layers=64, ffn_dim=36864, num_attention_heads=72),
        2,
    ),
    "bloom-176b": (BloomConfig(vocab_size=250880, hidden_size=14336, n_layer=70, n_head=112), 5),
    "llama-65b": (
        LlamaConfig(hidden_size=8192, num_hidden_layers=80, intermediate_size=22016, num_attention_heads=64),
        2,
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_models(name):
    config, n_devices = LARGE[name]
    model = empty_model(config)
    architecture = ARCHITECTURES[config.model_type]
    placed = map_devices(model, 2, list(range(n_devices)))

    loads = [0] * n_devices
    for path, parameter in model.named_parameters():  # a tied one once, as the embedding
        owners = {placed[at] for at in placed if path.startswith(f"{at}.")}
        assert len(owners) == 1, path
        loads[owners.pop()] += 2 * parameter.numel()
    blocks = [placed[f"{architecture.blocks}.{i}"] for i in range(len(model.get_submodule(architecture.blocks)))]
    assert blocks == sorted(blocks)
    assert set(blocks) == set(range(n_devices))
    # No device carries more than its share and the largest thing that cannot be cut: a block with what goes with it.
    largest = max(sum(p.numel() for p in model.get_submodule(f"{architecture.blocks}.0").parameters()), outside(model))
    assert max(loads) <= sum(loads) / n_devices + 2 * largest
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert placed["lm_head"] == (0 if head is embedding else n_devices - 1)
    # Also modules that have no parameters of their own, and compute masks or frequencies.
    assert all(any(path == at or path.startswith(f"{at}.") for at in placed) for path in leaves(model))


def leaves(model) -> list[str]:
    return [path for path, module in model.named_modules() if not list(module.children())]


def outside(model) -> int:
    """Parameters outside of the blocks."""
    architecture = ARCHITECTURES[model.config.model_type]
    return sum(p.numel() for path, p in model.named_parameters() if not path.startswith(f"{architecture.blocks}."))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_by_its_map(tiny, architecture):
    """The map of two devices, both of which are the CPU here, with the hooks that move states between devices."""
    locator = tiny(architecture)
    placed = map_devices(empty_model(load_config(locator)), 4, ["cpu", "cpu"])
    mapped = load_model(locator, "float32", "cpu", device_map=placed)
    dispatch_model(mapped, placed, force_hooks=True)
    assert all(hasattr(mapped.get_submodule(path), "_hf_hook") for path in placed)
    plain = Resident(load_model(locator, "float32", "cpu"))
    tokens = torch.tensor([[5, 6, 7, 8, 9, 6, 7]])
    tries = ModelInputs(
        tokens, positions=torch.tensor([[0, 1, 2, 3, 4, 3, 4]]), ends=torch.tensor([[7, 7, 7, 5, 5, 7, 7]])
    )
    for placement in ("twin", "mapped"):
        engine = Resident(mapped, keep_pristine(mapped, placement, open_stored_weights(locator)))
        for spec in (INT3, PROXY, CONTROL):
            with torch.inference_mode(), engine.quantized(spec), plain.quantized(spec):
                for ours, theirs in zip(
                    engine.hidden_states([ModelInputs(tokens), tries]),
                    plain.hidden_states([ModelInputs(tokens), tries]),
                    strict=True,
                ):
                    assert torch.equal(ours, theirs)
                    assert torch.equal(engine.logits(ours[0]), plain.logits(theirs[0]))


def test_pieces_stay_in_order_and_the_largest_run_is_smallest():
    assert split_evenly([5, 1, 1, 1, 4], 2) == [0, 0, 1, 1, 1]
    assert split_evenly([3, 3, 3, 3], 4) == [0, 1, 2, 3]
    assert split_evenly([9, 1, 1], 3) == [0, 1, 1]
    assert split_evenly([2, 2], 1) == [0, 0]
    with pytest.raises(ValueError, match="needs a device"):
        split_evenly([1], 0)
