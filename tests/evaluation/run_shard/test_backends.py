"""Rows say what quantized the weights, and the scores are the same."""

import pytest
import torch
from real_job import choose_task, write_job

from kbit.evaluation import bench
from kbit.kernels import backends
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.store.journal import read_journal

# More kinds of codebooks than torch.compile would compile a function for before it goes back to eager unnoticed.
CODEBOOKS = [("int", bits) for bits in range(3, 9)] + [("dynamic", bits) for bits in (3, 5, 8)] + [("int-asym", 4)]
SPECS = [CONTROL, *(QuantSpec(data_type=name, bits=bits, block_size=64) for name, bits in CODEBOOKS)]
WEIGHTS = 1e4
"""Fewer than the smallest embedded model has."""


@pytest.fixture
def rows_of(tmp_path, monkeypatch):
    """Evaluate every spec with kernels that have not been looked for yet; rows by spec."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)
    job = write_job(SPECS, (choose_task("ho_lambada", 3),))

    def run(name: str, device_memory_gb: float | None = None) -> dict[str, dict]:
        monkeypatch.setattr(backends, "KERNELS", backends.CompiledKernels())
        bench.evaluate_job({**job, "journal": f"{name}.jsonl", "device_memory_gb": device_memory_gb})
        rows = read_journal(tmp_path / f"{name}.jsonl").rows.values()
        return {row["spec"]: row for row in rows}

    return run


def backends_of(rows: dict[str, dict]) -> set[str | None]:
    assert rows.keys() == {spec.slug for spec in SPECS}
    assert rows["none16"]["quantize_backend"] is None
    return {row["quantize_backend"] for spec, row in rows.items() if spec != "none16"}


def test_a_job_is_compiled_for_from_a_number_of_weights_on(require, rows_of, monkeypatch, capsys):
    require("compiler")
    small = rows_of("small")
    assert backends_of(small) == {"eager"}
    monkeypatch.setattr(backends, "WORTH_BUILDING", WEIGHTS * len(CODEBOOKS))
    found = {"built": rows_of("built"), "kept": rows_of("kept"), "streamed": rows_of("streamed", 0.0)}
    for name, rows in found.items():
        assert backends_of(rows) == {"compiled"}, name
        for spec, row in rows.items():
            assert row["metrics"] == small[spec]["metrics"], (name, spec)
            assert list(row["samples"]) == list(small[spec]["samples"]), (name, spec)
    assert "several times slower" not in capsys.readouterr().err


def test_without_a_compiler_a_large_job_says_why_it_is_slow(rows_of, monkeypatch, capsys):
    monkeypatch.setattr(backends, "WORTH_BUILDING", WEIGHTS * len(CODEBOOKS))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert backends_of(rows_of("eager")) == {"eager"}
    said = capsys.readouterr().err
    assert said.count("several times slower than could be: no C++ compiler: no-such-compiler not found (set CXX)") == 1
