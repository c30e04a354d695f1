"""Which engine a model gets on a device of a given size, and that it says so."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kbit.models import open_engine as module
from kbit.models.inputs import ModelInputs
from kbit.models.open_engine import open_engine
from kbit.spec.errors import UserError
from kbit.spec.quant import QuantSpec

INT3 = QuantSpec(data_type="int", bits=3, block_size=64)
TOKENS = ModelInputs(torch.tensor([[5, 6, 7, 8, 9]]))


def weights_gb(locator, share: float) -> float:
    """A limit between the weights once and, at a share of 2, all of them twice, in float32."""
    state = load_file(Path(locator["path"]) / "model.safetensors")
    return share * 4e-9 * sum(tensor.numel() for tensor in state.values())


def test_without_a_limit_a_cpu_holds_twins(tiny, capsys):
    engine = open_engine(tiny("llama"), "float32", "cpu")
    assert (engine.placement, engine.gpus, engine.streams) == ("twin", 0, False)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("share", "placement"), [(2, "twin"), (1.1, "host"), (0.9, "streamed"), (0, "streamed")])
def test_what_fits_decides(tiny, capsys, share, placement):
    locator = tiny("llama")
    engine = open_engine(locator, "float32", "cpu", device_memory_gb=weights_gb(locator, share))
    assert (engine.placement, engine.gpus) == (placement, 0)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert re.match(rf"note: model '\w+': .* GB of weights in float32 on a CPU with .* GB to use: {placement}, ", line)
    plain = open_engine(locator, "float32", "cpu")
    with torch.inference_mode(), engine.quantized(INT3), plain.quantized(INT3):
        assert torch.equal(*(next(iter(e.hidden_states([TOKENS]))) for e in (engine, plain)))


def test_without_host_memory_the_files_are_mapped(tiny, capsys, monkeypatch):
    monkeypatch.setattr(module, "host_memory_bytes", lambda: 1e6)
    engine = open_engine(tiny("gpt2"), "float32", "cpu", device_memory_gb=weights_gb(tiny("gpt2"), 1.1))
    assert engine.placement == "mapped"
    assert "their files again (host memory: 0.001 GB)" in capsys.readouterr().err


def test_a_model_that_cannot_be_streamed(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny("gpt2")["path"], tmp_path / "old"))
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    locator = {**tiny("gpt2"), "path": str(folder)}
    with pytest.raises(UserError, match=r"^model '\w+' does not fit on the device and cannot be streamed"):
        open_engine(locator, "float32", "cpu", device_memory_gb=0)
    # It can be held once, though mapping is what was wanted: host memory takes its pristine values.
    engine = open_engine(locator, "float32", "cpu", device_memory_gb=weights_gb(tiny("gpt2"), 1.1))
    assert engine.placement == "host"


@pytest.mark.parametrize("limit", [None, 0.0])
def test_a_dtype_that_is_none(tiny, limit):
    with pytest.raises(UserError, match="dtype 'auto' is not one of float32"):
        open_engine(tiny("gpt2"), "auto", "cpu", device_memory_gb=limit)
