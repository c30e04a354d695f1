"""Cells of a calibrated spec in a real job: it finds the text by the shard file, and its rows say which it was."""

import json
from pathlib import Path

import pytest
import torch
from real_job import EMBEDDED, choose_task, write_job

from kbit.evaluation import bench
from kbit.evaluation.calibration import BATCH_TOKENS, calibration_batches
from kbit.evaluation.requests import build_requests, read_requests
from kbit.evaluation.run_shard import run_shard
from kbit.spec.calibration import CALIBRATION, CalibrationConfig, calibration_identity, resolve_calibration
from kbit.spec.errors import UserError
from kbit.spec.models import ModelEntry, resolve_model
from kbit.spec.quant import QuantSpec
from kbit.spec.requests import RequestsSpec
from kbit.spec.tasks import TaskEntry
from kbit.store.journal import read_journal
from kbit.store.paths import requests_path
from kbit.upkeep.verify.identity import names_another_cell

CONTEXT = json.loads((EMBEDDED / "config.json").read_text())["max_position_embeddings"]
TEXT = TaskEntry(name="prose", kind="perplexity", metric="perplexity", version="1", data_files=("a.txt",), text={})
RTN = QuantSpec(data_type="int", bits=3, block_size=64)


@pytest.fixture
def calibrated_job(tmp_path, monkeypatch):
    """A job of one task under rtn and under gptq, calibrated on sequences of so many tokens."""
    monkeypatch.chdir(tmp_path)
    # torch lets the number of interop threads be set once per process.
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)
    Path("a.txt").write_text(choose_text())

    def write(length: int) -> dict[str, object]:
        config = CalibrationConfig(text="prose", sequences=9, length=length)
        text = resolve_calibration(config, {"prose": (TEXT, Path("tasks.yaml"))}, Path("study.yaml"))
        gptq = QuantSpec(**{**RTN.model_dump(), "solver": "gptq", "calibration": calibration_identity(text)})
        job = write_job((RTN, gptq), (choose_task("ho_perplexity", 12),))
        model = resolve_model(ModelEntry(name="m", family="F", path=EMBEDDED.name), EMBEDDED.with_name("models.yaml"))
        requests = RequestsSpec(text, model)
        build_requests(requests.to_json(), requests_path(CALIBRATION, requests.digest))
        shard = json.loads(Path("shard.json").read_text())
        shard["cells"][1]["calibration"] = requests.digest
        Path("shard.json").write_text(json.dumps(shard))
        return job

    return write


def choose_text() -> str:
    """Other sentences than those that are scored, of the same books."""
    lines = (EMBEDDED.parents[1] / "tasks/ho_perplexity.jsonl").read_text(encoding="utf-8").splitlines()
    return "\n\n".join(json.loads(line)["page"] for line in lines[40:120])


def rows_of(job) -> dict[str, dict]:
    bench.evaluate_job({**job, "journal": "journal.jsonl"})
    return {row["spec"]: row for row in read_journal(Path("journal.jsonl")).rows.values()}


def loss(row) -> float:
    return next(metric["value"] for metric in row["metrics"] if metric["name"] == "nats_per_token")


def test_a_calibrated_spec_is_scored_and_says_what_it_saw(calibrated_job):
    rows = rows_of(calibrated_job(128))
    plain, calibrated = rows["int3-b64"], rows["int3-b64-gptq"]
    assert [row["status"] for row in (plain, calibrated)] == ["ok", "ok"]
    assert loss(calibrated) < loss(plain)
    assert calibrated["calibration"].startswith("9x128-")
    assert (calibrated["damping"], calibrated["act_order"]) == (0.01, False)
    assert plain["calibration"] is plain["damping"] is plain["act_order"] is None
    counted = ("bits_per_param", "body_bits", "total_bits")
    assert [plain[name] for name in counted] == [calibrated[name] for name in counted]
    assert not any(map(names_another_cell, rows.values()))
    assert names_another_cell({**calibrated, "calibration": "9x128-0"})
    assert names_another_cell({**calibrated, "damping": 0.1})


def test_sequences_that_the_model_cannot_read_are_unsupported(calibrated_job):
    rows = rows_of(calibrated_job(CONTEXT + 1))
    assert rows["int3-b64"]["status"] == "ok"
    assert rows["int3-b64-gptq"]["status"] == "unsupported"
    assert rows["int3-b64-gptq"]["error"] == (
        f"UnsupportedError: calibration sequences have {CONTEXT + 1} tokens, the model reads at most {CONTEXT}"
    )


def test_a_missing_text_is_named_before_a_worker_starts(calibrated_job):
    calibrated_job(128)
    (path,) = Path("results/requests").glob(f"{CALIBRATION}.*.parquet")
    path.unlink()
    with pytest.raises(UserError, match=f"^no file {path}, which shard all.000000000000 needs"):
        run_shard(Path("shard.json"), Path("results/parts/m/all.0.parquet"), 1, device="cpu")


def test_batches_do_not_depend_on_the_job(calibrated_job):
    calibrated_job(128)
    (path,) = Path("results/requests").glob(f"{CALIBRATION}.*.parquet")
    requests = read_requests(path)
    batches = calibration_batches(requests, CONTEXT, torch.device("cpu"))
    assert [list(batch.tokens.shape) for batch in batches] == [[9, 128]]
    assert BATCH_TOKENS == 16 * 128
    first = [*requests.contexts[0], *requests.continuations[0]]
    assert batches[0].tokens[0].tolist() == first
