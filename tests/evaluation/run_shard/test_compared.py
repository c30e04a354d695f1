"""Divergence in a job: the baseline pass belongs to the cell that needs it, and no row depends on what ran before."""

import math
from pathlib import Path

import pytest
import torch
from real_job import EMBEDDED, choose_task, write_job
from transformers import AutoModelForCausalLM, AutoTokenizer

from kbit.evaluation import bench
from kbit.evaluation.baseline import Baselines
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.store.journal import JournalState, read_journal
from kbit.store.rows import Row
from kbit.store.shard_file import read_shard

INT3, INT4 = (QuantSpec(data_type="int", bits=bits, block_size=64) for bits in (3, 4))
SPECS = (CONTROL, INT3, INT4)
MEASURED = ("status", "metrics", "samples", "token_budget", "n_tokens")


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    """Run a job in this process, in a folder of its own; returns what its journal then says."""
    monkeypatch.chdir(tmp_path)
    # torch lets the number of interop threads be set once per process.
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)

    def run(specs=SPECS, folder=EMBEDDED, dtype="float32", pages_first=False) -> JournalState:
        tasks = [choose_task("ho_piqa", 4), choose_task("ho_perplexity", 2, divergence=True)]
        job = write_job(specs, tasks[::-1] if pages_first else tasks, dtype, folder)
        journal = tmp_path / f"{len(list(tmp_path.glob('*.jsonl')))}.jsonl"
        try:
            bench.evaluate_job({**job, "journal": str(journal)})
        finally:
            run.state = read_journal(journal)
        return run.state

    return run


def by_name(rows: dict[str, Row]) -> dict[tuple[str, str], dict]:
    return {
        (row["spec"], row["task"]): {name: row[name] for name in MEASURED} | {"samples": list(row["samples"])}
        for row in rows.values()
    }


def metric(row: dict, name: str) -> float | None:
    return next(metric["value"] for metric in row["metrics"] if metric["name"] == name)


def test_rows_depend_on_no_other_cell(evaluate, capfd):
    rows = by_name(evaluate().rows)
    assert by_name(evaluate(SPECS[::-1]).rows) == rows
    # As where the others were taken over from an earlier attempt.
    alone = by_name(evaluate((INT4,)).rows)
    assert alone == {name: rows[name] for name in alone}
    assert len(alone) == 2
    pages = {spec: rows[spec, "ho_perplexity"] for spec in ("none16", "int4-b64", "int3-b64")}
    assert [row["status"] for row in pages.values()] == ["ok"] * 3
    kl = [metric(row, "kl_divergence") for row in pages.values()]
    assert 0 == kl[0] < kl[1] < kl[2]
    assert metric(pages["none16"], "top1_agreement") == 1
    gap = metric(pages["int3-b64"], "nats_per_token") - metric(pages["none16"], "nats_per_token")
    assert metric(pages["int3-b64"], "delta_nats_per_token") == pytest.approx(gap, rel=1e-5)
    assert "note: device cpu: cpu, dtype float32, placement twin\n" in capfd.readouterr().err


def test_memory_that_runs_out_takes_the_baseline_along_to_smaller_batches(evaluate, monkeypatch):
    real, recorded = bench.evaluate_tasks, []

    def evaluate_small_batches(engine, tasks, token_budget, comparisons):
        if token_budget > 100:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(engine, tasks, token_budget, comparisons)

    def record(baselines, tasks, token_budget):
        recorded.append(token_budget)
        return real_record(baselines, tasks, token_budget)

    real_record = Baselines.record
    monkeypatch.setattr(Baselines, "record", record)
    undisturbed = by_name(evaluate().rows)
    assert recorded == [512]
    monkeypatch.setattr(bench, "evaluate_tasks", evaluate_small_batches)
    recorded.clear()
    rows = by_name(evaluate().rows)
    # Once down, for the first spec; the others begin where it ended.
    assert recorded == [512, 256, 128, 64]
    assert {row["token_budget"] for row in rows.values()} == {64}
    control = rows["none16", "ho_perplexity"]
    assert (metric(control, "kl_divergence"), metric(control, "top1_agreement")) == (0, 1)
    for spec in ("int3-b64", "int4-b64"):
        # Another batch composition rounds otherwise, in float32.
        before, after = (metric(table[spec, "ho_perplexity"], "kl_divergence") for table in (undisturbed, rows))
        assert after == pytest.approx(before, rel=1e-4)


def test_a_baseline_that_fails_costs_its_own_cells_alone(evaluate, monkeypatch):
    undisturbed = by_name(evaluate().rows)

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Baselines, "record", fail)
    state = evaluate(pages_first=True)
    assert {(row["spec"], row["task"]) for row in state.failed.values()} == {
        (spec.slug, "ho_perplexity") for spec in SPECS
    }
    # The spec was lifted for the pass; what is scored after it is quantized again.
    assert by_name(state.rows) == {name: row for name, row in undisturbed.items() if name[1] == "ho_piqa"}


def test_a_baseline_in_which_the_worker_dies_is_the_open_cells_fault(evaluate, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Baselines, "record", die)
    with pytest.raises(KeyboardInterrupt):
        evaluate()
    assert set(by_name(evaluate.state.rows)) == {("none16", "ho_piqa")}
    assert list(evaluate.state.open_starts) == [read_shard(Path("shard.json")).cells[1].cell_id]


@pytest.fixture(scope="module")
def beyond_float16(tmp_path_factory):
    """The embedded model written another way: its last hidden states 2^12 times larger, its output layer 2^12 times
    smaller. As a function nothing has changed; but float16 ends at 65,504.
    """
    folder = tmp_path_factory.mktemp("models") / "scaled"
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.gpt_neox.final_layer_norm.parameters():
            parameter.mul_(2.0**12)
        model.get_output_embeddings().weight.mul_(2.0**-12)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(folder)
    return folder


def test_half_precision_that_overflows_is_a_collapse_with_what_is_still_defined(evaluate, beyond_float16):
    plain = by_name(evaluate((CONTROL, INT4)).rows)
    scaled = by_name(evaluate((CONTROL, INT4), beyond_float16).rows)
    # Powers of two change no digit.
    assert scaled == plain
    collapsed = by_name(evaluate((CONTROL, INT4), beyond_float16, "float16").rows)
    assert {row["status"] for row in collapsed.values()} == {"collapsed"}
    for spec in ("none16", "int4-b64"):
        assert 0 <= metric(collapsed[spec, "ho_piqa"], "acc") <= 1
        pages = collapsed[spec, "ho_perplexity"]
        assert {value["value"] for value in pages["metrics"]} == {None}
        assert {"kl_divergence", "nats_per_token"} < {value["name"] for value in pages["metrics"]}
        assert not all(math.isfinite(nats) for nats in pages["samples"])


@pytest.mark.parametrize(("dtype", "digits"), [("float16", 11), ("bfloat16", 8)])
def test_16_bit_dtypes_score_as_float32_does_within_their_precision(evaluate, dtype, digits):
    exact, rounded = (by_name(evaluate((CONTROL, INT4), dtype=kind).rows) for kind in ("float32", dtype))
    assert exact.keys() == rounded.keys()
    for name, row in rounded.items():
        assert row["status"] == "ok", name
    for spec in ("none16", "int4-b64"):
        before, after = (metric(rows[spec, "ho_perplexity"], "nats_per_token") for rows in (exact, rounded))
        # A mean of log-probabilities, each from logits of about 10 with a relative rounding of 2^-digits.
        assert after == pytest.approx(before, abs=10 * 2.0**-digits)
        assert after != before
    assert metric(rounded["none16", "ho_perplexity"], "kl_divergence") == 0
