"""Published tables all the way: description, part, tables, fits, claims, report. No model, no GPU, real LLMs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from kbit.cli import main
from kbit.cli.importing import import_table
from kbit.cli.tables import build_study_tables, fit_study_tables, render_study_report
from kbit.plan.plan import plan_study
from kbit.spec.errors import UserError
from kbit.spec.published import read_publication
from kbit.spec.rows import COLUMNS
from kbit.store.parts import read_part
from kbit.store.paths import claims_path, fits_path, report_path, tables_folder
from kbit.upkeep.studies import needed_files
from kbit.upkeep.verify.published import check_published_part

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "config/published.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder in which the rules' verbs were called for config/published.yaml, one after the other."""
    folder, before = tmp_path_factory.mktemp("published"), Path.cwd()
    os.chdir(folder)
    try:
        for one in plan_study(STUDY).imports:
            import_table(one.publication.path, one.part, as_json=True)
        build_study_tables(STUDY)
        fit_study_tables(STUDY)
        render_study_report(STUDY)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def verdict(fits, family, accounting, options):
    rows = fits.filter(
        (pl.col("fit") == "verdict") & (pl.col("family") == family) & (pl.col("bit_accounting") == accounting),
        (pl.col("block_size") == "128") & (pl.col("options") == options),
    )
    return {(row["quantity"], row["bits"]): row for row in rows.iter_rows(named=True)}


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("accounting", ["total_bits", "body_bits"])
@pytest.mark.parametrize("options", ["", "gptq", "awq"], ids=["rtn", "gptq", "awq"])
def test_four_bits_in_groups_win_the_whole_range(options, accounting):
    """In the data: LLaMA-1 7B to 65B, the paper's four tasks, groups of 128, with 16-bit embeddings or without."""
    found = verdict(pl.read_parquet(fits_path("published")), "LLaMA-1", accounting, options)
    assert found["best_bits", None]["value"] == 4
    assert found["share", 4]["value"] == 1.0
    assert {bits for quantity, bits in found if quantity == "share"} == {2, 3, 4, 16}


@pytest.mark.usefixtures("inside")
def test_intervals_say_that_they_rest_on_the_number_of_items():
    best = verdict(pl.read_parquet(fits_path("published")), "LLaMA-1", "total_bits", "")["best_bits", None]
    assert "each cell drawn by its standard error, unpaired" in best["note"]
    assert "cells drawn by standard error, unpaired" in best["method"]
    assert best["low"] <= 4 <= best["high"]


@pytest.mark.usefixtures("inside")
def test_a_family_of_one_model_has_no_verdict():
    found = verdict(pl.read_parquet(fits_path("published")), "Mistral", "total_bits", "gptq")
    assert found["best_bits", None]["status"] == "undetermined"


@pytest.mark.usefixtures("inside")
def test_rows_are_published_and_say_no_more_than_their_source():
    cells = pl.read_parquet(tables_folder("published") / "cells.parquet")
    assert cells["source"].unique().to_list() == ["published"]
    assert cells.group_by("publication").len().sort("publication").rows() == [
        ("autoround", 672), ("llama2-70b-scoreboard", 13), ("llama3-8b-scoreboard", 46), ("pythia-evals", 87)
    ]  # fmt: skip
    unknown = {"dtype", "device", "host", "torch_version", "lm_eval_version", "started_at", "requests"}
    assert cells.select(pl.col(sorted(unknown)).null_count()).row(0) == (cells.height,) * len(unknown)


@pytest.mark.usefixtures("inside")
def test_means_are_over_the_tasks_of_a_family():
    points = pl.read_parquet(tables_folder("published") / "points.parquet")
    assert dict(points.group_by("family").agg(pl.col("n_tasks").unique().first()).iter_rows()) == {
        "LLaMA-1": 4, "LLaMA-2": 4, "Mistral": 4, "OPT": 3, "BLOOM": 3, "Pythia": 3, "Pythia deduplicated": 3,
        "Llama 3": 0, "Llama 2 (llama.cpp)": 0,
    }  # fmt: skip
    anchor = points.filter(pl.col("model") == "opt-1.3b").row(0, named=True)
    # The three accuracies as published: LAMBADA .5793, PIQA .7171, WinoGrande .5975.
    assert anchor["mean_zero_shot_accuracy"] == pytest.approx((0.5793 + 0.7171 + 0.5975) / 3, abs=1e-4)


@pytest.mark.usefixtures("inside")
def test_every_claim_has_a_finding():
    claims = pl.read_parquet(claims_path("published"))
    assert claims["claim"].unique(maintain_order=True).to_list() == [f"H{number}" for number in range(1, 15)]
    undetermined = claims.filter(pl.col("status") == "undetermined")
    assert undetermined.filter(pl.col("missing") == "").height == 0
    assert claims.filter(pl.col("status") != "undetermined").filter(pl.col("missing") != "").height == 0


@pytest.mark.usefixtures("inside")
def test_the_report_shows_them():
    page = report_path("published").read_text(encoding="utf-8")
    assert "Published results of LLaMA" in page
    assert "LLaMA-1" in page


@pytest.mark.usefixtures("inside")
def test_a_part_is_looked_after_like_others(tmp_path):
    plan = plan_study(STUDY)
    parts = [one.part for one in plan.imports]
    assert set(parts) <= needed_files(plan)
    assert [finding for part in parts for finding in check_published_part(part)] == []
    renamed = tmp_path / parts[0].name.replace(plan.imports[0].key, "0" * 12)
    renamed.write_bytes(parts[0].read_bytes())
    (finding,) = check_published_part(renamed)
    assert "have the key" in finding.what
    assert read_part(parts[0]).columns == [column.name for column in COLUMNS]


def test_a_part_that_was_planned_of_another_table_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"has changed since this was planned: autoround.000000000000.parquet would be"):
        import_table(ROOT / "data/published/autoround.yaml", tmp_path / "autoround.000000000000.parquet", as_json=False)


def test_import_says_what_is_in_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    import_table(ROOT / "data/published/llama2-70b-scoreboard.yaml", None, as_json=False)
    printed = capsys.readouterr().out
    assert "13 lines, 13 cells, 1 model, 1 family, 13 specs, 1 task, 2 metrics" in printed
    (part,) = (tmp_path / "results/published").iterdir()
    assert f"written: {part.relative_to(tmp_path)}" in printed


def test_the_rules_import_every_table(tmp_path):
    command = ["-m", "kbit.cli", "run", str(STUDY), "--profile", str(ROOT / "profiles/local"), "-n"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^import_published +4$", done.stdout, re.MULTILINE), done.stdout
    assert not re.search(r"^evaluate ", done.stdout, re.MULTILINE)


GUIDE = (ROOT / "docs/asking-tables.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("command", re.findall(r"^kbit query .*$", GUIDE, re.MULTILINE))
def test_the_guides_questions_are_answered(command, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", shlex.split(command))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 1


@pytest.mark.usefixtures("inside")
def test_duckdb_reads_the_same_files(capsys):
    _, flag, code = shlex.split(next(line for line in GUIDE.splitlines() if line.startswith("python -c")))
    assert flag == "-c"
    exec(code, {})
    assert "LLaMA-1" in capsys.readouterr().out


def test_the_guides_description_is_one(tmp_path):
    guide = (ROOT / "docs/importing-results.md").read_text(encoding="utf-8")
    description = re.search(r"```yaml\n(name: our-lab.*?)```", guide, re.DOTALL)[1]
    (tmp_path / "our-lab.yaml").write_text(description, encoding="utf-8")
    table = "model,method,bits,group,lambada\nLlama-7B,FP16,16,-1,73\nLlama-7B,GPTQ,4,128,72\nLlama-7B,RTN,4,-1,70\n"
    (tmp_path / "table3.csv").write_text(table, encoding="utf-8")
    cells = read_publication(tmp_path / "our-lab.yaml").cells
    assert [cell.spec.slug for cell in cells] == ["none16", "int-any4-b128-gptq", "int-any4-row"]
