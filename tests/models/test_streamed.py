"""Streaming: the bits of a resident model, with two layers on the device at most."""

import ctypes
import gc
import json
import math
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import save_tiny_model
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaConfig

from kbit.models import streamed
from kbit.models.architectures import ARCHITECTURES
from kbit.models.engine import Engine
from kbit.models.hidden_store import HiddenStore
from kbit.models.inputs import ModelInputs
from kbit.models.load import DTYPES, empty_model, load_model
from kbit.models.resident import Resident
from kbit.models.stored_weights import open_stored_weights
from kbit.models.streamed import Streamed
from kbit.spec.errors import UnsupportedError, UserError
from kbit.spec.quant import CONTROL, QuantSpec

INT3 = QuantSpec(data_type="int", bits=3, block_size=64)
PROXY = QuantSpec(data_type="int", bits=3, block_size=64, outlier_fraction=0.1)
SPECS = [INT3, PROXY, CONTROL, QuantSpec(data_type="quantile", bits=4, block_size="tensor")]
CPU = torch.device("cpu")
BLOCK = "gpt_neox.layers.2.mlp.dense_4h_to_h.weight"


def stream(locator, dtype: str = "float32", **options) -> Streamed:
    return Streamed(open_stored_weights(locator), DTYPES[dtype], CPU, "model 'tiny'", **options)


def batches() -> list[ModelInputs]:
    """Two of plain rows, and one whose rows are tries: a common start of 4 tokens, and endings of 3 and 2."""
    generator = torch.Generator().manual_seed(0)
    tokens = [torch.randint(1, 60, shape, generator=generator) for shape in [(3, 17), (1, 31), (2, 9)]]
    positions = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 4, 5]]).repeat(2, 1)
    ends = torch.tensor([[9, 9, 9, 9, 7, 7, 7, 9, 9]]).repeat(2, 1)
    return [*map(ModelInputs, tokens[:2]), ModelInputs(tokens[2], positions, ends)]


def run(engine: Engine, spec: QuantSpec) -> list[tuple[Tensor, Tensor]]:
    """Hidden states and logits of every batch."""
    with torch.inference_mode(), engine.quantized(spec):
        return [(states.clone(), engine.logits(states[0])) for states in engine.hidden_states(batches())]


def equal(left: list[tuple[Tensor, Tensor]], right: list[tuple[Tensor, Tensor]]) -> bool:
    return all(
        torch.equal(ours, theirs)
        for pair, other in zip(left, right, strict=True)
        for ours, theirs in zip(pair, other, strict=True)
    )


def weight_bytes(engine: Streamed, prefix: str) -> int:
    """In float32."""
    return sum(4 * tensor.numel() for name, tensor in engine.model.state_dict().items() if name.startswith(prefix))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_bits_as_resident(tiny, architecture, dtype):
    """The files hold float16, so the second dtype is theirs, whose memory must not be computed with or written to."""
    resident = Resident(load_model(tiny(architecture), dtype, "cpu"))
    engine = stream(tiny(architecture), dtype)
    assert (engine.placement, engine.gpus, engine.streams) == ("streamed", 0, True)
    assert engine.shares_prefixes
    for spec in SPECS:
        with resident.quantized(spec) as expected, engine.quantized(spec) as footprint:
            assert footprint == expected
        assert equal(run(engine, spec), run(resident, spec)), spec.slug


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_layers_on_the_device_at_most(tiny, architecture):
    """The tiny models' embeddings and heads are smaller than two of their layers."""
    engine = stream(tiny(architecture))
    path = ARCHITECTURES[architecture].blocks
    layer = weight_bytes(engine, f"{path}.0.")
    outside = weight_bytes(engine, "") - 3 * layer
    assert layer == weight_bytes(engine, f"{path}.1.") > 0
    assert outside < 2 * layer
    run(engine, PROXY)  # which looks at the layers before too
    assert layer < engine.peak_weight_bytes <= 2 * layer


def test_a_large_vocabulary_outweighs_two_layers(tmp_path):
    """Stem and head are brought whole; neither is there together with the other, nor with a block."""
    engine = stream(save_tiny_model("llama", tmp_path, vocab_size=2000))
    run(engine, INT3)
    layer = weight_bytes(engine, "model.layers.0.")
    stem = weight_bytes(engine, "model.embed_tokens.")
    head = weight_bytes(engine, "lm_head.") + weight_bytes(engine, "model.norm.")
    assert stem > 2 * layer
    assert engine.peak_weight_bytes == max(stem, head)


class Census(TorchDispatchMode):
    """Every memory that an operation of this thread returns, for as long as it lives."""

    def __init__(self) -> None:
        super().__init__()
        self._storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._storages[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        return result

    @property
    def live_bytes(self) -> int:
        return sum(n_bytes for reference, n_bytes in self._storages.values() if not reference.expired())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_counted_is_all_there_is(tiny, architecture):
    """When a block is about to run, memory that torch gave out and has not back is the counted weights and, of one row
    of two tokens, less than 2 KB of states, positions and buffers."""
    engine = stream(tiny(architecture))
    seen = []
    with torch.inference_mode(), engine.quantized(INT3), Census() as census:
        for block in engine.model.get_submodule(ARCHITECTURES[architecture].blocks):
            block.register_forward_pre_hook(lambda *_: seen.append((engine.live_weight_bytes, census.live_bytes)))
        list(engine.hidden_states([ModelInputs(torch.tensor([[3, 4]]))]))
    assert len(seen) == 1 + 3
    assert all(counted <= live <= counted + 2048 for counted, live in seen), seen
    layer = weight_bytes(engine, f"{ARCHITECTURES[architecture].blocks}.0.")
    assert [counted for counted, _ in seen[1:]] == [layer] * 3


def test_hidden_states_in_a_file_that_nothing_is_left_of(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mapped = []

    def from_file(name: str, **options: object) -> Tensor:
        mapped.append(Path(name))
        assert mapped[-1].parent == tmp_path
        return torch_from_file(name, **options)

    torch_from_file = torch.from_file
    monkeypatch.setattr(torch, "from_file", from_file)
    expected = run(stream(tiny("bloom")), INT3)
    assert not mapped
    assert equal(run(stream(tiny("bloom"), hidden_bytes=0), INT3), expected)
    assert len(mapped) == 1
    assert not list(tmp_path.iterdir())


def test_no_room_for_hidden_states(tiny, monkeypatch):
    """Said before a layer is read, and not by a signal when a page of the file finds no room."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(UserError, match=r"GB of hidden states do not fit into .* \(set TMPDIR .*: No space left"):
        run(stream(tiny("bloom"), hidden_bytes=0), CONTROL)


def broken(tiny, tmp_path: Path, value: float) -> dict:
    """A NeoX model with one odd weight."""
    folder = Path(shutil.copytree(tiny("gpt_neox")["path"], tmp_path / "broken"))
    state = load_file(folder / "model.safetensors")
    state[BLOCK] = state[BLOCK].float()
    state[BLOCK][0, 0] = value
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return {**tiny("gpt_neox"), "path": str(folder)}


def test_a_weight_that_is_not_finite_is_named(tiny, tmp_path):
    with pytest.raises(UserError, match=f"^model 'tiny': tensor {BLOCK} has 1 of 2048 values NaN") as caught:
        run(stream(broken(tiny, tmp_path, torch.nan)), CONTROL)
    assert not isinstance(caught.value, UnsupportedError)


def test_a_spec_that_the_model_cannot_take(tiny, tmp_path):
    """The pass ends where the weight arrives; the next spec is none the worse for it."""
    locator = broken(tiny, tmp_path, 1e6)
    engine = stream(locator)
    with pytest.raises(UnsupportedError, match=f"^{BLOCK}: its largest weight has magnitude 1e"):
        run(engine, INT3)
    assert equal(run(engine, CONTROL), run(Resident(load_model(locator, "float32", "cpu")), CONTROL))
    assert engine.live_weight_bytes == 0


def test_a_pass_that_is_given_up_leaves_nothing_on_the_device(tiny):
    engine = stream(tiny("opt"))
    with engine.quantized(INT3):
        hidden = engine.hidden_states(batches())
        next(hidden)
        assert engine.live_weight_bytes > 0
        hidden.close()
    assert engine.live_weight_bytes == 0


def test_nesting_is_refused(tiny):
    engine = stream(tiny("gpt2"))
    with (
        engine.quantized(INT3),
        pytest.raises(RuntimeError, match="quantized already; leave that block before quantizing it as none16"),
    ):
        engine.quantized(CONTROL).__enter__()


def test_no_batches(tiny):
    assert list(stream(tiny("gpt2")).hidden_states([])) == []


def test_passes_over_like_batches_share_their_room(tiny, monkeypatch):
    """And never while one of them is still at it."""
    rooms = []

    def make_room(*arguments: object, **options: object) -> HiddenStore:
        rooms.append(HiddenStore(*arguments, **options))
        return rooms[-1]

    monkeypatch.setattr(streamed, "HiddenStore", make_room)
    engine, other = stream(tiny("llama")), ModelInputs(torch.tensor([[5, 6]]))
    expected = run(engine, INT3)
    assert equal(run(engine, INT3), expected)
    assert len(rooms) == 1
    with torch.inference_mode(), engine.quantized(INT3):
        first, second = engine.hidden_states(batches()), engine.hidden_states(batches())
        pairs = [(ours.clone(), theirs.clone()) for ours, theirs in zip(first, second, strict=True)]
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert len(rooms) == 2
    list(engine.hidden_states([other]))
    assert len(rooms) == 3


def own_memory_bytes() -> int:
    """Memory of this process that is no file's, without garbage and what malloc keeps of what was freed."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


def save_zeros(shapes: dict[str, tuple[int, ...]], file: Path) -> int:
    """Float16 safetensors with a hole for values, which takes no memory to write. Returns their bytes."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    file.write_bytes(len(encoded).to_bytes(8, "little") + encoded)
    os.truncate(file, 8 + len(encoded) + end)
    return end


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc and glibc")
def test_the_host_holds_two_layers_as_well(tmp_path):
    """Of a model of 60 MB in 12 layers: what is read is the system's cache of the file, no memory of its own."""
    config = LlamaConfig(hidden_size=512, num_hidden_layers=12, intermediate_size=1024, vocab_size=64)
    shapes = {name: tuple(tensor.shape) for name, tensor in empty_model(config).state_dict().items()}
    total = save_zeros(shapes, tmp_path / "model.safetensors")
    config.save_pretrained(tmp_path)
    before = own_memory_bytes()
    engine = stream({"name": "m", "model_id": "x", "hub_id": None, "revision": None, "path": str(tmp_path)}, "float16")
    seen = []
    for block in engine.model.model.layers:
        block.register_forward_pre_hook(lambda *_: seen.append(own_memory_bytes() - before))
    with torch.inference_mode(), engine.quantized(INT3):
        list(engine.hidden_states([ModelInputs(torch.tensor([[3, 4]]))]))
    layer = total / 12
    # One layer, and at most another of what a pass leaves to the allocator and loading left in caches.
    assert 0.5 * layer < max(seen) < 2 * layer, seen
