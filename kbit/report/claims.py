"""The paper's claims on the page: one group per claim, its findings below each other."""

from collections import Counter
from pathlib import Path

import polars as pl

from kbit.report.labels import COLUMN_LABELS, FIT_LABELS
from kbit.scaling.claims.table import SCHEMA
from kbit.scaling.fit_rows import ALL
from kbit.spec.errors import UserError

STATUSES = ("supported", "refuted", "undetermined")


def read_claims(path: Path | None) -> pl.DataFrame | None:
    """claims.parquet; None where the study has none yet. UserError for one of another version."""
    if path is None or not path.is_file():
        return None
    claims = pl.read_parquet(path)
    if claims.schema != SCHEMA:
        raise UserError(f"{path} does not have the columns of this version: make it again with `kbit fit STUDY`")
    return claims


def claim_groups(claims: pl.DataFrame | None) -> list[dict[str, object]]:
    """One record per claim, in their order: its name, title, statement, source and findings, and their statuses."""
    if claims is None:
        return []
    groups = []
    for (name,), rows in claims.group_by("claim", maintain_order=True):
        findings = [{**row, "about": subject(row)} for row in rows.to_dicts()]
        first = findings[0]
        groups.append(
            {
                "name": name,
                **{key: first[key] for key in ("title", "statement", "source")},
                "findings": findings,
                "counts": count_statuses(findings),
            }
        )
    return groups


def claim_totals(claims: pl.DataFrame | None) -> list[tuple[str, int]]:
    """(status, findings) over all claims, those that occur."""
    return [] if claims is None else count_statuses(claims.to_dicts())


def count_statuses(findings: list[dict[str, object]]) -> list[tuple[str, int]]:
    counts = Counter(finding["status"] for finding in findings)
    return [(status, counts[status]) for status in STATUSES if counts[status]]


def subject(row: dict[str, object]) -> str:
    """Family, metric and count of bits that a finding is about, in words."""
    family = "all families" if row["family"] == ALL else row["family"]
    metric = FIT_LABELS.get(row["metric"], row["metric"])
    bits = COLUMN_LABELS.get(row["bit_accounting"], row["bit_accounting"])
    return " · ".join(text for text in (family, metric, bits) if text)
