"""Outliers from the study file to the tables: cells that keep input dimensions, and what hidden units look like."""

import polars as pl

PAGES = {"name": "ho_perplexity", "item_limit": 2}
GRID = {"data_types": ["int"], "bits": [3], "block_sizes": [64], "outlier_fractions": [0.1]}
STUDY = {"models": ["a"], "tasks": [PAGES], "grids": [GRID | {"outlier_rules": ["proxy", "own-std"]}]}


def test_a_study_that_asks_for_hidden_units(workspace):
    workspace.write_study(**STUDY, outliers_task="ho_perplexity")
    workspace.run("small", "--until", "tables")
    cells = workspace.table("cells").sort("spec")
    assert cells["spec"].to_list() == ["int3-b64-p0.1", "int3-b64-p0.1_own-std", "none16"]
    assert set(cells["status"]) == {"ok"}
    assert cells["body_bits"][0] == cells["body_bits"][1] > 4.5 * cells["quantized_parameters"][0]
    outliers = workspace.table("outliers")
    assert outliers["model"].unique().to_list() == ["a"]
    assert outliers["spearman"].is_between(-1, 1).all()
    assert (outliers["role"] == "attention_output").sum() == outliers["block"].n_unique()
    assert set(outliers.filter(pl.col("role") == "ffn2")["feeder"]) == {"ffn1"}

    (file,) = workspace.root.glob("results/outliers/*.parquet")
    file.unlink()
    planned = workspace.dry_run()
    assert planned["measure_outliers"] == planned["tables"] == 1
    assert "evaluate" not in planned
    workspace.write_study(**STUDY)
    workspace.kbit("build-tables", "config/small.yaml")
    assert not (workspace.root / "results/studies/small/tables/outliers.parquet").exists()
