"""The table of claims: a row for every claim in every study, intervals marked with their level."""

import polars as pl
import pytest

from kbit.scaling.claims import SCHEMA, Claim, Finding, Subject, Tables, claims_frame, write_claims


def claim(name, *findings):
    return Claim(name, "a title", "a statement", "section 0", lambda _: iter(findings))


@pytest.fixture
def tables():
    return Tables(evidence=None, fits=pl.DataFrame())


def test_every_claim_has_a_row_and_they_keep_their_order(tables):
    found = Finding(Subject("f"), "gap", "supported", value=1.0)
    frame = claims_frame([claim("H2"), claim("H1", found, found)], tables)
    assert frame.schema == SCHEMA
    assert frame["claim"].to_list() == ["H2", "H1", "H1"]
    silent = frame.row(0, named=True)
    assert (silent["status"], silent["family"], silent["value"]) == ("undetermined", "all", None)
    assert "none of the points" in silent["missing"]


def test_only_intervals_have_a_level(tables):
    bare = Finding(Subject("f"), "gap", "refuted", value=1.0)
    bracketed = Finding(Subject("f"), "gap", "supported", value=1.0, low=0.5, high=1.5)
    assert claims_frame([claim("H1", bare, bracketed)], tables)["level"].to_list() == [None, 0.95]


def test_what_is_not_finite_is_null(tables):
    nan = Finding(Subject("f"), "gap", "undetermined", value=float("nan"), low=float("-inf"), high=0.0)
    assert claims_frame([claim("H1", nan)], tables).select("value", "low", "high").row(0) == (None, None, 0.0)


def test_a_written_table_reads_back(tables, tmp_path):
    frame = claims_frame([claim("H1")], tables)
    write_claims(frame, tmp_path / "claims.parquet")
    assert pl.read_parquet(tmp_path / "claims.parquet").equals(frame)
