"""`kbit diff` on tables, fits and what reports keep beside them."""

import json
import re
import runpy
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from kbit.cli import main
from kbit.report.snapshot import rotate, take_snapshot
from kbit.scaling.fit_rows import FitRow, Subject, fit_frame
from kbit.store.paths import fits_path, report_path, tables_folder
from kbit.warehouse import read_table

NAME = "synthetic"


@pytest.fixture(scope="module")
def built():
    """(tables, fits) of the synthetic study of tests/report."""
    conftest = Path(__file__).parents[1] / "report" / "conftest.py"
    return runpy.run_path(str(conftest))["load_synthetic_study"]().built_study()


@pytest.fixture(autouse=True)
def study(built, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"name": NAME, "title": "Known", "models": ["ada-*"], "tasks": ["ho_pair"], "dtype": "float32"}
    Path("study.yaml").write_text(yaml.safe_dump(config))
    shutil.copytree(built[0], tables_folder(NAME))
    shutil.copy(built[1], fits_path(NAME))


def now():
    frames = {name: read_table(tables_folder(NAME), name) for name in ("cells", "scores")}
    return take_snapshot(frames, pl.read_parquet(fits_path(NAME)))


def run(monkeypatch, capsys, *options):
    """(exit code, stdout, stderr)"""
    monkeypatch.setattr("sys.argv", ["kbit", "diff", "study.yaml", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_without_an_earlier_report_it_says_so(monkeypatch, capsys):
    code, _, told = run(monkeypatch, capsys)
    assert code == 2
    assert re.fullmatch(r"kbit: reports/synthetic keeps no earlier report .*\n", told)


def test_a_score_that_moved_since_the_report_is_one_line(monkeypatch, capsys):
    rotate(report_path(NAME).parent, now())
    code, printed, _ = run(monkeypatch, capsys)
    assert (code, printed.count("\n")) == (2, 0)  # drawn, and nothing was drawn before it
    path = tables_folder(NAME) / "scores.parquet"
    moved = (pl.col("model") == "ada-2") & (pl.col("spec") == "int4-b64") & (pl.col("task") == "ho_pair")
    better = pl.when(moved).then(0.987).otherwise(pl.col("value")).alias("value")
    pl.read_parquet(path).with_columns(better).write_parquet(path)
    code, printed, _ = run(monkeypatch, capsys)
    assert code == 0
    lines = printed.splitlines()
    assert lines[0].startswith("cells since the report before, whose newest cell began 2026-01-02T03:04:05Z: 0 new, 1 ")
    assert re.fullmatch(r"changed  ada-2/int4-b64/ho_pair: 0\.\d+ -> 0\.987", lines[1])
    assert len(lines) == 2


def test_new_cells_and_moved_verdicts_as_json(monkeypatch, capsys):
    whole = now()
    subject = Subject("verdict", "Ada", "perplexity", "nats_per_byte", "total_bits", "best", "best", "best")
    other = fit_frame([FitRow(subject, "best_bits", 9, "m", 3.0, 3.0, 4.0)])
    frames = {name: read_table(tables_folder(NAME), name) for name in ("cells", "scores")}
    earlier = {**frames, "cells": frames["cells"].filter(pl.col("model") != "ada-5")}
    rotate(report_path(NAME).parent, take_snapshot(earlier, other))
    rotate(report_path(NAME).parent, whole)
    code, printed, _ = run(monkeypatch, capsys, "--json")
    assert code == 0
    found = json.loads(printed)
    assert {row["model"] for row in found["new"]} == {"ada-5"}
    assert found["changed"] == found["gone"] == []
    ada = [row for row in found["verdicts"] if row["family"] == "Ada" and row["was_best_bits"] is not None]
    assert [(row["was_best_bits"], row["best_bits"]) for row in ada] == [(3.0, 4.0)]
