"""`kbit query`: answers as a table, CSV and JSON, and one line for every mistake."""

import csv
import io
import json

import polars as pl
import pytest

from kbit.cli.query import ROWS_SHOWN, query
from kbit.spec.errors import UserError


@pytest.fixture(autouse=True)
def study(tmp_path, monkeypatch):
    """A results folder with two tables of one study, and its fits beside them."""
    monkeypatch.chdir(tmp_path)
    tables = tmp_path / "results/studies/one/tables"
    tables.mkdir(parents=True)
    metrics = [[{"name": "acc", "value": 0.5}], None]
    pl.DataFrame({"cell_id": ["a", "b"], "bits": [4, 16], "score": [0.1, None], "metrics": metrics}).write_parquet(
        tables / "cells.parquet"
    )
    pl.DataFrame({"n": range(ROWS_SHOWN + 1)}).write_parquet(tables / "many.parquet")
    pl.DataFrame({"fit": ["verdict"], "family": ["[red]f"]}).write_parquet(tables.parent / "fits.parquet")


def ask(capsys, sql, study="", **form):
    query(sql, study, **{"as_csv": False, "as_json": False, **form})
    return capsys.readouterr().out


def test_a_table_for_reading(capsys):
    printed = ask(capsys, "select cell_id, bits * 1000 as many, score from cells order by bits")
    assert "4,000" in printed
    assert "16,000" in printed
    assert printed.rstrip().endswith("2 rows")
    assert "the first 200 are shown; --csv prints all" in ask(capsys, "select * from many")


def test_names_are_shown_as_they_are(capsys):
    assert "[red]f" in ask(capsys, "select family from fits")


def test_csv_and_json_hold_all_of_it(capsys):
    sql = "select cell_id, score, metrics from cells order by cell_id"
    rows = list(csv.DictReader(io.StringIO(ask(capsys, sql, as_csv=True))))
    assert rows == [
        {"cell_id": "a", "score": "0.1", "metrics": '[{"name":"acc","value":0.5}]'},
        {"cell_id": "b", "score": "", "metrics": ""},
    ]
    assert json.loads(ask(capsys, sql, as_json=True)) == [
        {"cell_id": "a", "score": 0.1, "metrics": [{"name": "acc", "value": 0.5}]},
        {"cell_id": "b", "score": None, "metrics": None},
    ]
    assert len(json.loads(ask(capsys, "select * from many", as_json=True))) == ROWS_SHOWN + 1


def test_tables_join_what_stands_beside_them(capsys):
    assert json.loads(
        ask(capsys, "select fit, count(*) as n from cells cross join fits group by fit", as_json=True)
    ) == [{"fit": "verdict", "n": 2}]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", "sql parser error"),
        ("select nope from cells", 'unable to find column "nope"'),
        ("select * from nowhere", "relation 'nowhere' was not found .the tables are cells, many, fits"),
        ("select sum(cell_id) from cells", "not supported"),
        ("", "one .and only one. statement"),
    ],
)
def test_a_mistake_is_one_line(sql, message):
    with pytest.raises(UserError, match=message) as refused:
        query(sql, "one", as_csv=False, as_json=False)
    assert "\n" not in str(refused.value)


def test_a_study_is_named_where_there_are_several(capsys, tmp_path):
    (tmp_path / "two.yaml").write_text("name: one\n")
    assert ask(capsys, "select * from fits", "two.yaml") == ask(capsys, "select * from fits", "one")
    with pytest.raises(UserError, match=r"no tables of the study 'other' in .*; tables there are of one"):
        query("select 1", "other", as_csv=False, as_json=False)
    second = tmp_path / "results/studies/two/tables"
    second.mkdir(parents=True)
    pl.DataFrame({"n": [1]}).write_parquet(second / "cells.parquet")
    with pytest.raises(UserError, match="name a study by --study; tables there are of one, two"):
        query("select 1", "", as_csv=False, as_json=False)


def test_two_forms_at_once_are_refused():
    with pytest.raises(UserError, match="exclude each other"):
        query("select 1", "one", as_csv=True, as_json=True)
