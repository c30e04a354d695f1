"""From a study's tables to its fits: every law of `laws.LAWS`, one Parquet file of long rows."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from kbit.scaling.claims import CLAIMS, Tables, claims_frame, read_outliers, write_claims
from kbit.scaling.evidence import read_evidence
from kbit.scaling.fit_rows import fit_frame
from kbit.scaling.laws import LAWS
from kbit.store.atomic import write_bytes


def fit_study(
    tables: Path,
    parts: Sequence[Path],
    output: Path,
    tell: Callable[[str], None] = lambda _: None,
    claims: Path | None = None,
) -> None:
    """Fit every law to the tables in the folder `tables` and write `output`, a Parquet file of `fit_rows.SCHEMA`.

    Then test the paper's claims on tables and fits, and write `claims`, a Parquet file of `claims.SCHEMA`, if given.

    `parts` are the study's parts: their samples and the requests files they name give the bootstrap its items. The same
    tables, parts and requests give the same bytes: every random draw is seeded. `tell` hears of every step that takes
    seconds in a large study.
    """
    evidence = read_evidence(tables, parts, tell)
    rows = []
    for name, fit in LAWS.items():
        found = list(fit(evidence))
        tell(f"{name}: {len(found):,} fitted quantities")
        rows += found
    frame = fit_frame(rows)
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd")
    write_bytes(output, content.getvalue())
    if claims is not None:
        write_claims(claims_frame(CLAIMS, Tables(evidence, frame, read_outliers(tables))), claims)
