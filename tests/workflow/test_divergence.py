"""Divergence and compute dtypes from the study file to the tables and the report."""

import polars as pl

PAGES = {"name": "ho_perplexity", "item_limit": 2}
DIVERGENCE = {
    "kl_divergence",
    "kl_divergence_p99",
    "mean_delta_p",
    "rms_delta_p",
    "top1_agreement",
    "delta_nats_per_token",
}


def values(scores, metric) -> dict[str, float]:
    chosen = scores.filter(pl.col("metric") == metric)
    return dict(zip(chosen["spec"], chosen["value"], strict=True))


def part_metrics(parts) -> dict[tuple[str, str], float]:
    """(spec, metric) -> value of the cells of ho_perplexity in the parts."""
    rows = pl.concat(pl.read_parquet(part, columns=["spec", "task", "dtype", "metrics"]) for part in parts)
    rows = rows.filter((pl.col("task") == "ho_perplexity") & (pl.col("dtype") == "float16")).explode("metrics")
    metrics = rows["metrics"].struct.unnest()
    return dict(zip(zip(rows["spec"], metrics["name"], strict=True), metrics["value"], strict=True))


def test_asking_for_divergence_later_evaluates_that_task_alone(workspace):
    workspace.write_study(models=["a"], tasks=["ho_piqa", PAGES], dtype="float16")
    workspace.run("small", "--until", "evaluate")
    before, plain = workspace.evaluations(), part_metrics(workspace.parts())
    workspace.write_study(models=["a"], tasks=["ho_piqa", PAGES | {"divergence": True}], dtype="float16")
    requests = sorted(workspace.root.glob("results/requests/*"))
    workspace.run()
    assert sorted(workspace.root.glob("results/requests/*")) == requests  # the same serve both
    new = workspace.evaluations() - before
    cells = workspace.table("cells")
    assert set(new) == set(cells.filter(pl.col("task") == "ho_perplexity")["cell_id"])
    assert set(cells["status"]) == {"ok"}

    scores = workspace.table("scores")
    assert set(scores["metric"]) >= DIVERGENCE
    kl = values(scores, "kl_divergence")
    assert 0 == kl["none16"] < kl["int4-b64"] < kl["int3-b64"]
    assert values(scores, "top1_agreement")["none16"] == 1
    # What was measured before is measured the same.
    assert {spec for spec, _ in plain} == kl.keys()
    for (spec, metric), value in plain.items():
        assert values(scores, metric)[spec] == value
    assert not scores.filter(pl.col("metric").is_in(DIVERGENCE))["headline"].any()
    assert (workspace.root / "reports/small/index.html").stat().st_size > 100_000


def test_the_log_says_what_auto_chose(finished):
    logs = [path.read_text() for path in finished.root.glob("results/logs/evaluate/*/*.log")]
    assert len(logs) == 2
    for log in logs:
        (line,) = (line for line in log.splitlines() if line.startswith("note: device "))
        assert line.startswith("note: device auto: ")
        assert line.endswith(", dtype float32, placement twin")


def test_a_gpu_that_is_not_there_is_one_line_and_exit_code_2(workspace, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    shard, part = next(workspace.root.glob("results/shards/*/*.json")), workspace.parts()[0]
    part.unlink()
    for journal in workspace.root.glob("results/journal/*/*.jsonl"):
        journal.unlink()
    arguments = ("run-shard", str(shard), "--part", str(part), "--device")
    done = workspace.kbit(*arguments, "cuda", expect=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("kbit: device cuda: torch finds no GPU on this node; CUDA_VISIBLE_DEVICES is ")
    assert line.endswith("(--device auto falls back to cpu)")
    assert not part.exists()
    assert workspace.evaluations() == {}
