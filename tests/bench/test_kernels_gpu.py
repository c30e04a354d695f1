"""What the bench of the CUDA kernels holds against its targets; its times need a GPU."""

import subprocess
import sys

import kernels_gpu
import pytest
import torch


def stream(kernel: str, data_type: str, bits: int, fraction: float) -> dict[str, object]:
    return {"kernel": kernel, "data_type": data_type, "bits": bits, "fraction_of_copy": fraction}


def product(bits: int, fraction: float, **changes: object) -> dict[str, object]:
    row = {"kernel": "gemv", "bits": bits, "batch": 1, "n_outputs": 4096, "n_inputs": 11008}
    return {**row, "fraction_of_roof": fraction, **changes}


def test_targets():
    rows = [
        stream("fake_quantize", "int", 8, 0.89), stream("fake_quantize", "nf", 8, 0.81),
        stream("quantize_pack", "nf", 5, 0.85), stream("unpack_dequantize", "int", 3, 0.91),
        product(3, 0.66), product(4, 0.79), product(2, 0.1), product(4, 0.1, batch=2), product(8, 0.1, n_inputs=4096),
    ]  # fmt: skip
    assert kernels_gpu.find_misses(rows) == [
        "fake_quantize int8: 0.89 of a copy's bandwidth, target 0.9",
        "quantize_pack nf5: 0.85 of a copy's bandwidth, target 0.9",
        "gemv 4096 x 11008, 4 bits: 0.79 of its roof, target 0.8",
    ]


def test_every_type_with_one_codebook_is_timed(monkeypatch):
    monkeypatch.setattr(torch, "randn", lambda *shape, device=None: torch.zeros(*shape).normal_())  # noqa: ARG005
    found = {(name, bits): len(codebook) for name, bits, codebook in kernels_gpu.list_types(None)}
    assert {name for name, _ in found} >= {
        "int",
        "float",
        "dynamic",
        "quantile",
        "nf",
        "af",
        "bof",
        "sf",
        "mxfp4",
        "nvfp4",
    }
    assert {bits for name, bits in found if name == "int"} == set(range(2, 9))
    assert all(1 < n <= 2**bits for (_, bits), n in found.items())


@pytest.mark.skipif(torch.cuda.is_available(), reason="of a machine without a GPU")
def test_without_a_gpu_it_says_so():
    done = subprocess.run([sys.executable, kernels_gpu.__file__], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "bench/kernels_gpu.py: torch finds no NVIDIA GPU here"
