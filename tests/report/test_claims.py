"""The paper's claims on the page: as the table has them, in its order."""

import re

import polars as pl
import pytest

from kbit.report.claims import claim_groups, claim_totals, read_claims
from kbit.report.render import render_report
from kbit.scaling.claims.table import SCHEMA
from kbit.spec.errors import UserError


def finding(claim: str, status: str, **columns: object) -> dict[str, object]:
    words = {name: "" for name, kind in SCHEMA.items() if kind == pl.String}
    empty = {**dict.fromkeys(SCHEMA), **words, "n": 12, "title": f"title of {claim}"}
    return {**empty, "claim": claim, "status": status, **columns}


@pytest.fixture(scope="module")
def claims():
    rows = [
        finding("H2", "supported", family="Ada", metric="nats_per_byte", bit_accounting="total_bits", value=0.012,
                low=-0.001, high=0.02, unit="nats", expected="> 0", statistic="gap <of> 4 bits"),
        finding("H2", "undetermined", family="all", missing="two more sizes"),
        finding("H11", "refuted", family="Bel & Co", value=-3.0),
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_findings_stand_below_their_claim(claims):
    groups = claim_groups(claims)
    assert [group["name"] for group in groups] == ["H2", "H11"]
    assert groups[0]["counts"] == [("supported", 1), ("undetermined", 1)]
    assert [row["about"] for row in groups[0]["findings"]] == ["Ada · loss · total model bits", "all families"]
    assert claim_totals(claims) == [("supported", 1), ("refuted", 1), ("undetermined", 1)]
    assert claim_groups(None) == claim_totals(None) == []


def test_the_page_has_a_section_of_claims_where_the_study_has_them(claims, study_files, tmp_path):
    claims.write_parquet(tmp_path / "claims.parquet")
    output = tmp_path / "s" / "index.html"
    render_report({"name": "s", "title": "S"}, *study_files, output, tmp_path / "claims.parquet")
    text = output.read_text(encoding="utf-8")
    section = re.search(r'<section id="claims".*?</section>', text, re.DOTALL)[0]
    assert "gap &lt;of&gt; 4 bits" in section
    assert "0.012 nats" in section
    assert "−0.001 to 0.02" in section
    assert "two more sizes" in section
    assert 'href="#claims"' in text


def test_claims_of_another_version_are_refused(tmp_path):
    assert read_claims(tmp_path / "claims.parquet") is None
    pl.DataFrame({"claim": ["H1"]}).write_parquet(tmp_path / "claims.parquet")
    with pytest.raises(UserError, match=r"claims\.parquet.*kbit fit"):
        read_claims(tmp_path / "claims.parquet")
