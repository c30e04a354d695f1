"""Who feeds whom: said for every linear of every family, and shown on random models by changing one unit."""

import itertools

import pytest
import torch
from test_quantized import SIZES, same_bits, snapshot, tiny_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, OPTConfig, PreTrainedModel

from kbit.models.architectures import ARCHITECTURES, find_architecture, linears
from kbit.models.architectures.roles import Feeder
from kbit.models.layer_statistics import live_statistics
from kbit.models.quantized import quantized
from kbit.models.unit_moments import combine, measure_units
from kbit.quant import quantize_weight
from kbit.quant.statistics import Statistics
from kbit.spec.quant import QuantSpec

PROXY = QuantSpec(data_type="int", bits=3, block_size=64, outlier_fraction=0.1)

# Linear of the second of two blocks, from its path -> who feeds it; `<` is the block before, `^` the stem.
NEOX = {
    "attention.query_key_value": ["< attention.dense", "< mlp.dense_4h_to_h"],
    "attention.dense": ["attention.query_key_value"],
    "mlp.dense_h_to_4h": ["< attention.dense", "< mlp.dense_4h_to_h"],
    "mlp.dense_4h_to_h": ["mlp.dense_h_to_4h"],
}
OPT = {
    **{f"self_attn.{name}_proj": ["< fc2"] for name in "qkv"},
    "self_attn.out_proj": ["self_attn.v_proj"],
    "fc1": ["self_attn.out_proj"],
    "fc2": ["fc1"],
}
EXPECTED: dict[str, dict[str, list[str]]] = {
    "gpt_neox": NEOX,
    "gpt_neox-sequential": {
        **NEOX,
        "attention.query_key_value": ["< mlp.dense_4h_to_h"],
        "mlp.dense_h_to_4h": ["attention.dense"],
    },
    "gpt2": {
        "attn.c_attn": ["< mlp.c_proj"],
        "attn.c_proj": ["attn.c_attn"],
        "mlp.c_fc": ["attn.c_proj"],
        "mlp.c_proj": ["mlp.c_fc"],
    },
    "opt": OPT,
    "opt-350m": OPT,
    "bloom": {
        "self_attention.query_key_value": ["< mlp.dense_4h_to_h"],
        "self_attention.dense": ["self_attention.query_key_value"],
        "mlp.dense_h_to_4h": ["self_attention.dense"],
        "mlp.dense_4h_to_h": ["mlp.dense_h_to_4h"],
    },
    "llama": {
        **{f"self_attn.{name}_proj": ["< mlp.down_proj"] for name in "qkv"},
        "self_attn.o_proj": ["self_attn.v_proj"],
        "mlp.gate_proj": ["self_attn.o_proj"],
        "mlp.up_proj": ["self_attn.o_proj"],
        "mlp.down_proj": ["mlp.gate_proj", "mlp.up_proj"],
    },
    "llama-grouped": {},
}
EXPECTED["llama-grouped"] = EXPECTED["llama"]
STEMS = {
    "gpt_neox": ["gpt_neox.embed_in"],
    "gpt2": ["transformer.wte", "transformer.wpe"],
    "opt": ["model.decoder.project_in", "model.decoder.embed_positions"],
    "opt-350m": ["model.decoder.embed_tokens", "model.decoder.embed_positions"],
    "bloom": ["transformer.word_embeddings"],
    "llama": ["model.embed_tokens"],
}
VARIANTS = {
    "gpt_neox-sequential": GPTNeoXConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        use_parallel_residual=False,
        **SIZES,
    ),
    "opt-350m": OPTConfig(  # norms come after, and here no projection of the embedding
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=128,
        word_embed_proj_dim=32,
        do_layer_norm_before=False,
        **SIZES,
    ),
    "llama-grouped": LlamaConfig(  # heads in groups, and wider together than the hidden states
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        intermediate_size=96,
        **SIZES,
    ),
}


def make(name: str) -> PreTrainedModel:
    if name not in VARIANTS:
        return tiny_model(name)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(VARIANTS[name]).eval()


def feeders(model: PreTrainedModel) -> dict[str, tuple[Feeder, ...]]:
    return find_architecture(model.config).feeders(model)


def test_every_architecture_is_here() -> None:
    assert {name.split("-")[0] for name in EXPECTED} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", EXPECTED)
def test_who_feeds_every_linear(name: str) -> None:
    model = make(name)
    blocks = find_architecture(model.config).blocks
    stem = STEMS.get(name, STEMS[name.split("-", maxsplit=1)[0]])

    def full(index: int, short: str) -> list[str]:
        before = short.startswith("< ")
        if before and index == 0:
            return stem
        return [f"{blocks}.{index - before}.{short.removeprefix('< ')}"]

    expected = {
        f"{blocks}.{index}.{linear}": list(dict.fromkeys(itertools.chain(*(full(index, short) for short in shorts))))
        for index in range(2)
        for linear, shorts in EXPECTED[name].items()
    }
    assert {path: [feeder.layer for feeder in found] for path, found in feeders(model).items()} == expected


def without_norms(model: PreTrainedModel) -> PreTrainedModel:
    """In double precision, so that what a unit does not feed differs by no bit."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child).__name__.endswith("Norm"):
                setattr(module, name, nn.Identity())
    return model.double()


def inputs_of_linears(model: PreTrainedModel) -> dict[str, Tensor]:
    """Path -> what each linear is given for some tokens, [tokens, in]."""
    found: dict[str, Tensor] = {}

    def take_down(path: str):
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            found[path] = args[0].reshape(-1, args[0].shape[-1])

        return hook

    hooks = [layer.register_forward_pre_hook(take_down(path)) for path, layer in linears(model).items()]
    with torch.no_grad():
        model(torch.arange(1, 41).view(2, 20))
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_a_unit_changes_the_inputs_that_it_feeds_and_no_others(name: str) -> None:
    """Of its own layer's neighbour: what comes later hears of it everywhere, so that no earlier layer passes."""
    model = without_norms(make(name))
    before = inputs_of_linears(model)
    for fed, found in feeders(model).items():
        for feeder in found:
            layer = model.get_submodule(feeder.layer)
            by_row = isinstance(layer, nn.Linear)
            units = torch.arange(before[fed].shape[1]) if feeder.units is None else feeder.units
            assert len(units) == before[fed].shape[1]
            unit = units[7].item()
            weights = layer.weight.data[unit] if by_row else layer.weight.data[:, unit]
            pristine = weights.clone()
            weights += 0.5
            changed = (inputs_of_linears(model)[fed] != before[fed]).any(dim=0)
            weights.copy_(pristine)
            assert torch.equal(changed, units == unit), (fed, feeder.layer)


@pytest.mark.parametrize("name", EXPECTED)
def test_std_is_that_of_all_weights_of_the_unit(name: str) -> None:
    model = make(name)
    statistics, found = live_statistics(model), feeders(model)
    for fed, layer in linears(model).items():
        std = statistics.of(fed, PROXY).feeder_std
        columns = 7, len(std) - 1
        for column in columns:
            weights = []
            for feeder in found[fed]:
                feeding = model.get_submodule(feeder.layer)
                unit = column if feeder.units is None else feeder.units[column]
                weights.append(feeding.weight[unit] if isinstance(feeding, nn.Linear) else feeding.weight[:, unit])
            # Double precision, rounded to the nearest fp32.
            assert std[column].item() == pytest.approx(torch.cat(weights).double().std(correction=0).item(), rel=1e-7)
        assert len(std) == (layer.weight.shape[1] if isinstance(layer, nn.Linear) else layer.weight.shape[0])


@pytest.mark.parametrize("name", ["gpt_neox", "gpt2"])
def test_the_model_computes_with_what_the_quantizer_gives(name: str) -> None:
    model = make(name)
    statistics = live_statistics(model)
    stds = {path: statistics.of(path, PROXY).feeder_std for path in linears(model)}
    pristine = snapshot(model)
    with quantized(model, PROXY) as footprint:
        for path, layer in linears(model).items():
            weight, result = pristine[f"{path}.weight"], layer.weight
            if name == "gpt2":
                weight, result = weight.t(), result.t()
            assert torch.equal(result, quantize_weight(weight, PROXY, path, Statistics(feeder_std=stds[path])))
            assert (result == weight).all(dim=0).sum() >= round(0.1 * weight.shape[1])
    kept = {32: 3, 128: 13}
    shapes = [(96, 32), (32, 32), (128, 32), (32, 128)] * 2
    assert footprint.body_bits == sum(
        out * (3 * width + 13 * kept[width]) + width + 16 * -(-out * width // 64) for out, width in shapes
    )
    assert all(same_bits(tensor, pristine[path]) for path, tensor in model.state_dict().items())


def test_layers_that_share_a_weight_share_its_feeders() -> None:
    """What is stored once is quantized in one way: that of the first, fed by the embedding here."""
    model = make("gpt2")
    first, second = model.transformer.h
    second.attn.c_attn.weight = first.attn.c_attn.weight
    statistics = live_statistics(model)
    stds = [statistics.of(f"transformer.h.{i}.attn.c_attn", PROXY).feeder_std for i in range(2)]
    assert torch.equal(*stds)
    assert statistics.of("transformer.h.1.attn.c_proj", PROXY).feeder_std.shape == (32,)
    with quantized(model, PROXY):
        assert second.attn.c_attn.weight is first.attn.c_attn.weight


@pytest.mark.parametrize("axis", [0, 1])
def test_moments_in_pieces(axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fp16 values far from zero, where a sum of squares less a square of the sum would lose digits."""
    weight = (torch.randn(37, 11, generator=torch.Generator().manual_seed(0)) + 1000).half()
    expected = weight.double().std(dim=1 - axis, correction=0).float()
    monkeypatch.setattr("kbit.models.unit_moments.PIECE_WEIGHTS", 40)
    measured = measure_units(weight, axis, torch.float16, torch.device("cpu"))
    assert torch.allclose(measured.std, expected, rtol=1e-7, atol=0)
    halves = [
        measure_units(half, axis, torch.float16, torch.device("cpu")) for half in weight.tensor_split(2, 1 - axis)
    ]
    assert torch.allclose(combine(halves).std, expected, rtol=1e-7, atol=0)


def test_weights_are_rounded_to_what_is_computed_with() -> None:
    """A file in fp32, computed with in fp16: the resident engines see the rounded weights, so must this."""
    weight = torch.tensor([[1.0, 1.0 + 2.0**-14]])
    device = torch.device("cpu")
    assert measure_units(weight, 0, torch.float16, device).std == 0
    assert measure_units(weight, 0, torch.float32, device).std > 0
