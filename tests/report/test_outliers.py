"""The table of outliers on the page, where a study measured it."""

import shutil

import polars as pl
import pytest

from kbit.report.outliers import outlier_groups
from kbit.report.render import render_report

ROWS = [
    ("Ada", "ada-1", "kvq", "attention_output", 0.5, 0.01),
    ("Ada", "ada-1", "kvq", "attention_output", 0.25, 0.2),
    ("Ada", "ada-2", "kvq", "attention_output", -0.75, 0.001),
    ("Ada", "ada-2", "ffn1", "ffn2", None, None),
    ("Bel & Co", "bel-1", "ffn1", "ffn2", 1.0, 0.0),
]


@pytest.fixture
def tables(study_files, tmp_path):
    shutil.copytree(study_files[0], tmp_path / "tables")
    names = ("family", "model", "feeder", "role", "spearman", "p_value")
    pl.DataFrame(ROWS, schema=names, orient="row").write_parquet(tmp_path / "tables" / "outliers.parquet")
    return tmp_path / "tables"


def test_layers_are_summed_up_by_family_and_pair(tables):
    ada, bel = outlier_groups(tables)
    assert (ada["family"], ada["feeder"], ada["models"], ada["layers"]) == ("Ada", "kvq", 2, 3)
    assert (ada["median"], ada["low"], ada["high"]) == (0.25, -0.25, 0.375)
    assert ada["positive"] == pytest.approx(1 / 3)
    assert (bel["median"], bel["positive"]) == (1.0, 1.0)


def test_the_page_has_them_only_where_they_were_measured(tables, study_files, tmp_path):
    assert outlier_groups(study_files[0]) == []
    render_report({"name": "s", "title": "S"}, tables, study_files[1], tmp_path / "s" / "index.html")
    text = (tmp_path / "s" / "index.html").read_text(encoding="utf-8")
    assert '<section id="outliers"' in text
    assert "−0.25 to 0.375" in text
