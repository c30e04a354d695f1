"""Models that do not fit a GPU twice, or once: the bits of one that does, and the memory that was promised."""

import pytest
import torch
from tiny_models import save_tiny_model
from torch import Tensor

from kbit.models.architectures import ARCHITECTURES, linears
from kbit.models.device_map import map_devices
from kbit.models.engine import Engine
from kbit.models.inputs import ModelInputs
from kbit.models.load import empty_model, load_config, load_model
from kbit.models.open_engine import open_engine
from kbit.models.pristine import HostCopies, keep_pristine
from kbit.models.quantized import distinct_weights
from kbit.models.resident import Resident
from kbit.models.stored_weights import open_stored_weights
from kbit.models.streamed import Streamed
from kbit.spec.placement import BATCH_BYTES
from kbit.spec.quant import CONTROL, QuantSpec

INT3 = QuantSpec(data_type="int", bits=3, block_size=64)
PROXY = QuantSpec(data_type="int", bits=3, block_size=64, outlier_fraction=0.02)
SPECS = [INT3, PROXY, CONTROL, QuantSpec(data_type="quantile", bits=4, block_size="tensor")]
WIDE = {"hidden_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 4096}
"""A Llama of 8 layers of 33 MB."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Locators of a tiny model of every architecture."""
    return {name: save_tiny_model(name, tmp_path_factory.mktemp(name)) for name in ARCHITECTURES}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return save_tiny_model("llama", tmp_path_factory.mktemp("wide"), **WIDE)


def batches(device: torch.device) -> list[ModelInputs]:
    """Many, so that they overlap on their way; plain rows and tries."""
    generator = torch.Generator().manual_seed(0)
    plain = [
        ModelInputs(torch.randint(1, 60, (4, length), generator=generator).to(device)) for length in range(40, 20, -1)
    ]
    positions = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 4, 5]]).repeat(2, 1)
    ends = torch.tensor([[9, 9, 9, 9, 7, 7, 7, 9, 9]]).repeat(2, 1)
    tries = torch.randint(1, 60, (2, 9), generator=generator)
    return [*plain, ModelInputs(tries.to(device), positions.to(device), ends.to(device))]


def run(engine: Engine, spec: QuantSpec, inputs: list[ModelInputs]) -> list[Tensor]:
    """Hidden states of every batch, and logits of its first row."""
    found = []
    with torch.inference_mode(), engine.quantized(spec):
        for states in engine.hidden_states(inputs):
            found += [states.clone(), engine.logits(states[0])]
    return found


def assert_equal(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for left, right in zip(ours, theirs, strict=True):
        assert torch.equal(left.cpu(), right.cpu())


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_bits_in_every_placement(models, gpu, architecture, dtype):
    locator, inputs = models[architecture], batches(gpu)
    twin = Resident(load_model(locator, dtype, "cuda"))
    assert (twin.gpus, twin.device) == (1, gpu)
    stored = open_stored_weights(locator)
    others = [
        Resident(model := load_model(locator, dtype, "cuda"), keep_pristine(model, placement, stored))
        for placement in ("host", "mapped")
    ]
    for hidden_bytes in (1e9, 0):
        opened = open_stored_weights(locator)
        others.append(Streamed(opened, getattr(torch, dtype), gpu, "model", hidden_bytes=hidden_bytes))
    assert [engine.placement for engine in others] == ["host", "mapped", "streamed", "streamed"]
    for spec in SPECS:
        expected = run(twin, spec, inputs)
        for engine in others:
            assert_equal(run(engine, spec, inputs), expected)


def test_streaming_takes_two_layers_of_gpu_memory(wide, gpu):
    """By torch's own count. Batches of 160 tokens and the widest of what quantizing a matrix makes add to it."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    engine = Streamed(open_stored_weights(wide), torch.float16, gpu, "model")
    layer = 2 * sum(parameter.numel() for parameter in engine.model.model.layers[0].parameters())
    seen = []
    for block in engine.model.model.layers:
        block.register_forward_pre_hook(lambda *_: seen.append(torch.cuda.memory_allocated() - before))
    run(engine, INT3, batches(gpu))
    assert layer < engine.peak_weight_bytes <= 2 * layer
    assert layer < max(seen) <= 2 * layer
    assert engine.live_weight_bytes == 0


def test_streaming_a_wide_model_gives_the_same_bits(wide, gpu):
    """Wide enough that copies and computing overlap."""
    inputs = batches(gpu)
    expected = run(Resident(load_model(wide, "float16", "cuda")), INT3, inputs)
    for hidden_bytes in (1e9, 0):
        engine = Streamed(open_stored_weights(wide), torch.float16, gpu, "model", hidden_bytes=hidden_bytes)
        for _ in range(2):
            assert_equal(run(engine, INT3, inputs), expected)


def test_host_copies_are_pinned(models):
    model = load_model(models["llama"], "float16", "cuda")
    parameters = distinct_weights(model, linears(model))
    copies = HostCopies(parameters)
    for name, parameter in parameters.items():
        values = copies.read(name)
        assert values.device.type == "cpu"
        assert values.is_pinned()
        assert torch.equal(values, parameter.cpu())


@pytest.mark.parametrize(("share", "placement"), [(2.1, "twin"), (1.1, "host"), (0.9, "streamed")])
def test_what_fits_decides(wide, capsys, share, placement):
    weights = sum(p.numel() for p in empty_model(load_config(wide)).parameters()) * 2
    engine = open_engine(wide, "float16", "cuda", device_memory_gb=(BATCH_BYTES + share * weights) / 1e9)
    assert (engine.placement, engine.gpus) == (placement, 1)
    assert "of weights in float16 on 1 GPU with 6." in capsys.readouterr().err


def test_a_pass_that_runs_out_of_memory_leaves_nothing(wide, gpu):
    engine = Streamed(open_stored_weights(wide), torch.float16, gpu, "model")
    expected = run(engine, INT3, batches(gpu))
    before = torch.cuda.memory_allocated()

    def run_out(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = engine.model.model.layers[5].register_forward_pre_hook(run_out)
    with pytest.raises(torch.OutOfMemoryError):
        run(engine, INT3, batches(gpu))
    hook.remove()
    assert torch.cuda.memory_allocated() == before
    assert_equal(run(engine, INT3, batches(gpu)), expected)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("placement", ["twin", "host", "mapped"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_gpus_hold_a_model(models, gpu, architecture, placement):
    locator, inputs = models[architecture], batches(gpu)
    expected = {spec: run(Resident(load_model(locator, "float16", "cuda")), spec, inputs) for spec in SPECS}
    placed = map_devices(empty_model(load_config(locator)), 2, [0, 1])
    model = load_model(locator, "float16", "cuda", device_map=placed)
    engine = Resident(model, keep_pristine(model, placement, open_stored_weights(locator)))
    assert (engine.placement, engine.gpus) == (placement, 2)
    for spec in SPECS:
        assert_equal(run(engine, spec, inputs), expected[spec])
