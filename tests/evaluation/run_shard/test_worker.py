"""What a worker writes when a cell cannot be scored: real model, real tasks, faults thrown where they would arise."""

from contextlib import contextmanager

import pytest
import torch
from real_job import choose_task, write_job

from kbit.evaluation import bench
from kbit.models.resident import Resident
from kbit.spec.errors import UnsupportedError, UserError
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.store.journal import JournalState, JournalWriter, read_journal
from kbit.store.rows import Row

INT4 = QuantSpec(data_type="int", bits=4, block_size=64)


@pytest.fixture(scope="module")
def job(tmp_path_factory, monkeypatch_module) -> dict:
    """A job of four cells: control and int4, two small tasks."""
    monkeypatch_module.chdir(tmp_path_factory.mktemp("job"))
    return write_job((CONTROL, INT4), (choose_task("ho_piqa", 6), choose_task("ho_perplexity", 1)))


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture
def evaluate(job, tmp_path, monkeypatch):
    """Run the job in this process; returns what its journal then says."""
    # torch lets the number of interop threads be set once per process.
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)

    def run() -> JournalState:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        try:
            bench.evaluate_job({**job, "journal": str(path)})
        finally:
            run.state = read_journal(path)
        return run.state

    return run


def by_name(rows: dict[str, Row]) -> dict[tuple[str, str], Row]:
    return {(row["spec"], row["task"]): row for row in rows.values()}


def test_a_good_day(evaluate):
    state = evaluate()
    rows = by_name(state.rows)
    assert set(rows) == {(spec, task) for spec in ("none16", "int4-b64") for task in ("ho_piqa", "ho_perplexity")}
    assert not state.open_starts
    row = rows["int4-b64", "ho_piqa"]
    assert (row["status"], row["error"], row["device"], row["n_items"]) == ("ok", None, "cpu", 6)
    assert len(row["samples"]) == len(row["greedy"]) == 12  # two choices for each item
    assert rows["int4-b64", "ho_perplexity"]["greedy"] is None
    assert row["bits_per_param"] == 4.25
    assert row["peak_memory_bytes"] > 50e6
    assert rows["none16", "ho_piqa"]["body_bits"] == 16 * row["quantized_parameters"]
    assert {metric["name"] for metric in row["metrics"]} >= {"acc", "acc_norm"}
    assert "nats_per_byte" in {metric["name"] for metric in rows["none16", "ho_perplexity"]["metrics"]}


def test_memory_that_runs_out_halves_the_batch(evaluate, monkeypatch):
    undisturbed = by_name(evaluate().rows)
    real = bench.evaluate_tasks

    def evaluate_small_batches(engine, tasks, token_budget, comparisons):
        if token_budget > 100:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(engine, tasks, token_budget, comparisons)

    monkeypatch.setattr(bench, "evaluate_tasks", evaluate_small_batches)
    rows = by_name(evaluate().rows)
    assert {row["token_budget"] for row in rows.values()} == {64}
    for name, row in rows.items():
        # Another batch composition sums in another order: fp32 rounding on log-likelihoods of tens to hundreds of nats.
        assert row["samples"] == pytest.approx(undisturbed[name]["samples"], abs=1e-3, rel=1e-5)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), OSError(5, "Input/output error")],
    ids=lambda error: type(error).__name__,
)
def test_a_passing_fault_fails_its_cell_alone(error, evaluate, monkeypatch):
    real = bench.evaluate_tasks

    def evaluate_but_perplexity(engine, tasks, token_budget, comparisons):
        if any(requests.is_rolling for requests in tasks):
            raise error
        return real(engine, tasks, token_budget, comparisons)

    monkeypatch.setattr(bench, "evaluate_tasks", evaluate_but_perplexity)
    state = evaluate()
    assert set(by_name(state.rows)) == {("none16", "ho_piqa"), ("int4-b64", "ho_piqa")}
    failed = by_name(state.failed)["int4-b64", "ho_perplexity"]
    assert failed["error"].startswith(type(error).__name__)
    assert failed["body_bits"] > 0
    assert failed["metrics"] is failed["samples"] is failed["greedy"] is failed["seconds"] is None


def test_a_cuda_error_gives_the_device_up(evaluate, monkeypatch):
    def lose_device(*_):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(bench, "evaluate_tasks", lose_device)
    with pytest.raises(bench.DeviceLostError, match="illegal memory access"):
        evaluate()
    assert list(by_name(evaluate.state.failed)) == [("none16", "ho_piqa")]


def test_an_error_of_the_program_is_no_result(evaluate, monkeypatch):
    def stumble(*_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(bench, "evaluate_tasks", stumble)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        evaluate()
    assert not evaluate.state.rows
    assert len(evaluate.state.open_starts) == 1


@pytest.mark.parametrize(
    ("error", "status"), [(UnsupportedError("h.0.weight: no"), "unsupported"), (MemoryError("no"), "failed")]
)
def test_a_spec_that_cannot_be_quantized_leaves_a_row_for_each_task(error, status, evaluate, monkeypatch):
    real = Resident.quantized

    @contextmanager
    def quantize_control_alone(engine, spec, *shown):
        if spec != CONTROL:
            raise error
        with real(engine, spec, *shown) as footprint:
            yield footprint

    monkeypatch.setattr(Resident, "quantized", quantize_control_alone)
    state = evaluate()
    rows = by_name(state.rows | state.failed)
    assert {name: row["status"] for name, row in rows.items() if name[0] == "int4-b64"} == {
        ("int4-b64", "ho_piqa"): status,
        ("int4-b64", "ho_perplexity"): status,
    }
    assert rows["int4-b64", "ho_piqa"]["error"] == f"{type(error).__name__}: {error}"
    assert rows["int4-b64", "ho_piqa"]["body_bits"] is None
    assert rows["none16", "ho_piqa"]["status"] == "ok"


def test_a_weight_beyond_an_absmax_makes_its_specs_unsupported_and_no_other(evaluate, monkeypatch):
    real = bench.open_engine

    def open_with_a_large_weight(*arguments):
        engine = real(*arguments)
        with torch.no_grad():
            engine.model.gpt_neox.layers[1].mlp.dense_h_to_4h.weight[0, 0] = 70_000.0
        return engine

    monkeypatch.setattr(bench, "open_engine", open_with_a_large_weight)
    rows = by_name(evaluate().rows)
    assert {name: row["status"] for name, row in rows.items()} == {
        (spec, task): status
        for spec, status in (("none16", "ok"), ("int4-b64", "unsupported"))
        for task in ("ho_piqa", "ho_perplexity")
    }
    error = rows["int4-b64", "ho_piqa"]["error"]
    assert "gpt_neox.layers.1.mlp.dense_h_to_4h.weight: its largest weight has magnitude 70000" in error


def test_a_collapsed_model_is_a_result(evaluate, monkeypatch):
    real = bench.open_engine

    def open_collapsing(*arguments):
        engine = real(*arguments)
        with torch.no_grad():
            engine.model.get_output_embeddings().weight.mul_(1e38)
        return engine

    monkeypatch.setattr(bench, "open_engine", open_collapsing)
    rows = by_name(evaluate().rows)
    assert {row["status"] for row in rows.values()} == {"collapsed"}
    assert all("not finite" in row["error"] for row in rows.values())
    assert all(len(row["samples"]) for row in rows.values())


def test_a_device_that_is_not_there_is_refused(evaluate, job, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(job, "device", "cuda")
    with pytest.raises(UserError, match="device cuda: torch finds no GPU"):
        evaluate()
    monkeypatch.setitem(job, "device", "tpu")
    with pytest.raises(UserError, match="device 'tpu' is not one of auto, cpu, cuda"):
        evaluate()


def test_a_full_disk_is_the_nodes_fault(evaluate, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JournalWriter, "row", full)
    with pytest.raises(OSError, match="No space left"):
        evaluate()
