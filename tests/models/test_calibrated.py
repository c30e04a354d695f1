"""Calibrated specs: the same bits wherever the weights lie, and those of a slow and plain walk through the model."""

import weakref
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kbit.models.architectures import ARCHITECTURES, find_architecture, linears
from kbit.models.calibrated import SecondMoments
from kbit.models.inputs import ModelInputs
from kbit.models.layer_statistics import live_statistics
from kbit.models.load import DTYPES, load_model
from kbit.models.pristine import keep_pristine
from kbit.models.quantized import quantize_values, quantized
from kbit.models.resident import Resident
from kbit.models.stored_weights import open_stored_weights
from kbit.models.streamed import Streamed
from kbit.spec.errors import UnsupportedError, UserError
from kbit.spec.quant import CONTROL, QuantSpec

INT3 = QuantSpec(data_type="int", bits=3, block_size=16, solver="gptq", calibration="4x12-0")
SPECS = [
    INT3,
    QuantSpec(data_type="nf", bits=4, block_size="row", solver="gptq", act_order=True, outlier_fraction=0.1),
]


def shown() -> list[ModelInputs]:
    tokens = torch.randint(1, 60, (4, 12), generator=torch.Generator().manual_seed(1))
    return [ModelInputs(tokens[:3]), ModelInputs(tokens[3:])]


def scored() -> list[ModelInputs]:
    return [ModelInputs(torch.randint(1, 60, (2, 17), generator=torch.Generator().manual_seed(2)))]


def states(engine, spec: QuantSpec) -> Tensor:
    with torch.inference_mode(), engine.quantized(spec, shown()):
        (found,) = engine.hidden_states(scored())
        return found.clone()


@pytest.mark.parametrize(
    ("architecture", "dtype"), [*((name, "float32") for name in ARCHITECTURES), ("gpt2", "float16")]
)
def test_the_same_bits_wherever_the_weights_lie(tiny, architecture, dtype):
    locator = tiny(architecture)
    twin = Resident(load_model(locator, dtype, "cpu"))
    others = [Streamed(open_stored_weights(locator), DTYPES[dtype], torch.device("cpu"), "model 'tiny'")]
    for placement in ("host", "mapped"):
        model = load_model(locator, dtype, "cpu")
        others.append(Resident(model, keep_pristine(model, placement, open_stored_weights(locator))))
    for spec in [*SPECS, CONTROL, INT3]:
        expected = states(twin, spec)
        assert torch.isfinite(expected).all()
        for engine in others:
            assert torch.equal(states(engine, spec), expected), (engine.placement, spec.slug)


def plain_walk(model, spec: QuantSpec) -> None:
    """Quantize `model` for good: for every block the whole model runs, and one layer after the other is looked at."""
    layers, statistics = linears(model), live_statistics(model)
    of_layers = {path: statistics.of(path, spec) for path in layers}
    blocks = find_architecture(model.config).blocks
    for index in range(len(model.get_submodule(blocks))):
        of_block = {path: layer for path, layer in layers.items() if path.startswith(f"{blocks}.{index}.")}
        values = {}
        for path, layer in of_block.items():
            given = []
            with layer.register_forward_pre_hook(lambda _, args, given=given: given.append(args[0])):
                for inputs in shown():
                    model(input_ids=inputs.tokens)
            rows = torch.cat([tensor.reshape(-1, tensor.shape[-1]) for tensor in given]).double()
            found = replace(of_layers[path], second_moments=rows.T @ rows / len(rows))
            values[path] = quantize_values(layer.weight.data, layer, spec, path, found)
        for path, layer in of_block.items():
            layer.weight.data = values[path]


@torch.no_grad()
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.slug)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_weights_of_a_plain_walk(tiny, architecture, spec):
    expected, model = (load_model(tiny(architecture), "float32", "cpu") for _ in range(2))
    plain_walk(expected, spec)
    pristine = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with quantized(model, spec, shown=shown()):
        pairs = {path: (layer.weight, linears(expected)[path].weight) for path, layer in linears(model).items()}
        assert not any(torch.equal(ours, pristine[f"{path}.weight"]) for path, (ours, _) in pairs.items())
        same = sum(int(torch.isclose(ours, theirs, rtol=1e-5).sum()) for ours, theirs in pairs.values())
    # Sums in fp32 here, in float64 there: a weight on the brink of a midpoint may fall otherwise and move others.
    assert same >= 0.99 * sum(ours.numel() for ours, _ in pairs.values())
    assert all(torch.equal(tensor, pristine[name]) for name, tensor in model.state_dict().items())


def test_nothing_shown_is_refused(tiny):
    model = load_model(tiny("gpt_neox"), "float32", "cpu")
    engines = [
        Resident(model),
        Resident(model, keep_pristine(model, "host", None)),
        Streamed(open_stored_weights(tiny("gpt_neox")), torch.float32, torch.device("cpu"), "model 'tiny'"),
    ]
    for engine in engines:
        with pytest.raises(UserError, match=r"^int3-b16-gptq: solver gptq needs a text to calibrate on"):
            engine.quantized(INT3).__enter__()
        assert torch.isfinite(states(engine, CONTROL)).all()


def test_a_spec_that_a_later_block_cannot_take_leaves_the_model_as_it_was(tiny):
    model = load_model(tiny("llama"), "float32", "cpu")
    model.model.layers[2].mlp.up_proj.weight.data[0, 0] = 1e6  # beyond fp16, in which absmax is stored
    engine = Resident(model)
    pristine = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UnsupportedError, match=r"layers\.2\.mlp\.up_proj\.weight"):
        states(engine, INT3)
    assert all(torch.equal(tensor, pristine[name]) for name, tensor in model.state_dict().items())
    assert torch.isfinite(states(engine, CONTROL)).all()


@torch.no_grad()
def test_layers_that_read_the_same_tensor_share_its_moments(tiny):
    model = load_model(tiny("llama"), "float32", "cpu")
    block = "model.layers.0"
    layers = {path: layer for path, layer in linears(model).items() if path.startswith(block)}
    moments = SecondMoments()
    with moments.watching(layers):
        for inputs in shown():
            moments.begin_batch()
            model(input_ids=inputs.tokens)
    means = {path.removeprefix(f"{block}."): tensor for path, tensor in moments.means().items()}
    assert means["self_attn.q_proj"] is means["self_attn.k_proj"] is means["self_attn.v_proj"]
    assert means["mlp.gate_proj"] is means["mlp.up_proj"]
    assert len({id(tensor) for tensor in means.values()}) == 4


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_the_second_moments_of_one_block_exist_at_a_time(tiny, monkeypatch, kind):
    alive: list[weakref.ref] = []
    plain_means, blocks = SecondMoments.means, []

    def watched_means(self):
        blocks.append([reference() for reference in alive])
        means = plain_means(self)
        alive.extend(weakref.ref(tensor) for tensor in means.values())
        return means

    monkeypatch.setattr(SecondMoments, "means", watched_means)
    if kind == "resident":
        engine = Resident(load_model(tiny("gpt_neox"), "float32", "cpu"))
    else:
        engine = Streamed(open_stored_weights(tiny("gpt_neox")), torch.float32, torch.device("cpu"), "model 'tiny'")
    states(engine, INT3)
    assert blocks == [[None] * 0, [None] * 4, [None] * 8]
