"""`kbit export`, from the command line to a model that runs."""

import subprocess
import sys

import pytest
import torch
from transformers import AutoTokenizer

from kbit.models.packed import load_packed


def export(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "kbit.cli", "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_embedded_model(tmp_path):
    done = export("tiny-neox-64x2", "int4-b64", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "tiny-neox-64x2 as int4-b64" in done.stdout
    assert "(4.25 bits per quantized weight)" in done.stdout
    tokens = AutoTokenizer.from_pretrained(tmp_path / "out")("the cat", return_tensors="pt").input_ids
    with torch.inference_mode():
        assert torch.isfinite(load_packed(tmp_path / "out")(tokens).logits).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody", "int4-b64"), "model 'nobody' is not one of "),
        (("data/models/neox-64x2", "int4"), "'int4' is not a quantization spec"),
        (("data/models/neox-64x2", "none16"), "nothing to pack"),
        (("data/models/neox-64x2", "int4-b64-hqq"), "solver 'hqq' of int4-b64-hqq cannot be packed"),
        (("data/models/neox-64x2", "int4-b64", "--dtype", "float32"), "dtype 'float32' is not one of"),
    ],
)
def test_refuses(arguments: tuple[str, ...], message: str, tmp_path):
    done = export(*arguments[:2], tmp_path / "out", *arguments[2:])
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_taken(tmp_path):
    (tmp_path / "file").write_text("mine")
    done = export("data/models/neox-64x2", "int4-b64", tmp_path)
    assert done.returncode == 2
    assert "is not empty: name one that is new" in done.stderr
    assert (tmp_path / "file").read_text() == "mine"
