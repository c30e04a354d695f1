"""The table `claims`: one row per claim and subject, claims in their order. At least one row of every claim.

| column | meaning |
|---|---|
| claim, title, statement, source | H1 to H14; in a few words; what is tested and decides; where the paper says so |
| family, metric, bit_accounting | what the finding is about: family `all` is all of them together; empty: none |
| statistic, unit, expected | what `value` is; its unit; the condition that supports the claim, such as `> 0` |
| value, low, high, level | the statistic and its interval; null without one |
| n | points (model, spec) it rests on |
| status | supported, refuted, undetermined |
| missing | of an undetermined one: what the study lacks |
| method, note | how it was computed; what else is to be known |
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

import polars as pl

from kbit.scaling.claims.claim import Claim, Finding, Subject, Tables, missing
from kbit.scaling.fit_rows import ALL, LEVEL
from kbit.store.atomic import write_bytes

SCHEMA = pl.Schema(
    {
        "claim": pl.String,
        "title": pl.String,
        "statement": pl.String,
        "source": pl.String,
        "family": pl.String,
        "metric": pl.String,
        "bit_accounting": pl.String,
        "statistic": pl.String,
        "unit": pl.String,
        "expected": pl.String,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "level": pl.Float64,
        "n": pl.Int32,
        "status": pl.String,
        "missing": pl.String,
        "method": pl.String,
        "note": pl.String,
    }
)
OF_FINDING = tuple(field.name for field in fields(Finding) if field.name != "subject")
OF_SUBJECT = tuple(field.name for field in fields(Subject))


def claims_frame(claims: Sequence[Claim], tables: Tables) -> pl.DataFrame:
    """Test every claim; rows of `SCHEMA` in the order of the claims and of their findings."""
    rows = [to_row(claim, finding) for claim in claims for finding in findings_of(claim, tables)]
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row", infer_schema_length=None)
    finite = [pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in ("value", "low", "high")]
    return frame.with_columns(finite)


def findings_of(claim: Claim, tables: Tables) -> Iterable[Finding]:
    """What the claim's test finds; a claim that a study says nothing about is undetermined, not absent."""
    found = list(claim.test(tables))
    return found or [missing(Subject(ALL), "none", "the study has none of the points that this claim is about")]


def to_row(claim: Claim, finding: Finding) -> dict[str, object]:
    about = {name: getattr(claim, "name" if name == "claim" else name) for name in tuple(SCHEMA)[:4]}
    subject = {name: getattr(finding.subject, name) for name in OF_SUBJECT}
    own = {name: getattr(finding, name) for name in OF_FINDING}
    has_interval = finding.low is not None and finding.high is not None
    return {**about, **subject, **own, "level": LEVEL if has_interval else None}


def read_outliers(tables: Path) -> pl.DataFrame | None:
    """The table outliers, which only some studies have."""
    path = tables / "outliers.parquet"
    return pl.read_parquet(path) if path.is_file() else None


def write_claims(frame: pl.DataFrame, output: Path) -> None:
    """Write the table whole or not at all."""
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd")
    write_bytes(output, content.getvalue())
