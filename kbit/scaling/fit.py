"""From a study's tables to its fits: every law of `laws.LAWS`, one Parquet file of long rows."""

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import polars as pl

from kbit.scaling.claims import CLAIMS, Tables, claims_frame, read_outliers, write_claims
from kbit.scaling.evidence import Evidence, read_evidence
from kbit.scaling.fit_rows import KEY, fit_frame
from kbit.scaling.laws import LAWS, RESAMPLED
from kbit.store.atomic import write_bytes

Tell = Callable[[str], None]


def fit_study(
    tables: Path,
    parts: Sequence[Path],
    output: Path,
    tell: Tell = lambda _: None,
    claims: Path | None = None,
    processes: int = 1,
) -> None:
    """Fit every law to the tables in the folder `tables` and write `output`, a Parquet file of `fit_rows.SCHEMA`.

    Then test the paper's claims on tables and fits, and write `claims`, a Parquet file of `claims.SCHEMA`, if given.

    `parts` are the study's parts: their samples and the requests files they name give the bootstrap its items. The same
    tables, parts and requests give the same bytes, whatever the number of processes: every random draw is seeded. With
    two or more, a second one fits the laws that need no resamples. `tell` hears of every step that takes seconds in a
    large study.
    """
    evidence = read_evidence(tables, parts, tell)
    others = [name for name in LAWS if name not in RESAMPLED]
    with beside(processes, tables, parts, others) as fitted_beside:
        found = fit_laws(evidence, RESAMPLED if fitted_beside else list(LAWS), tell)
        if fitted_beside:
            theirs, told = fitted_beside.result()
            for line in told:
                tell(line)
            found = pl.concat([found, theirs])
    frame = found.sort(KEY, nulls_last=True)
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd")
    write_bytes(output, content.getvalue())
    if claims is not None:
        write_claims(claims_frame(CLAIMS, Tables(evidence, frame, read_outliers(tables))), claims)


def fit_laws(evidence: Evidence, names: Sequence[str], tell: Tell) -> pl.DataFrame:
    """The rows of some laws."""
    rows = []
    for name in names:
        found = list(LAWS[name](evidence))
        tell(f"{name}: {len(found):,} fitted quantities")
        rows += found
    return fit_frame(rows)


@contextmanager
def beside(
    processes: int, tables: Path, parts: Sequence[Path], names: Sequence[str]
) -> Iterator[Future[tuple[pl.DataFrame, list[str]]] | None]:
    """The rows of some laws and what they tell, from a process of their own; None where there may be only one.

    It starts anew: polars runs threads of its own, which a forked process would lack.
    """
    if processes < 2:
        yield None
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool.submit(read_and_fit, tables, list(parts), names)


def read_and_fit(tables: Path, parts: Sequence[Path], names: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """What a second process does: the rows of some laws, and what they tell."""
    told: list[str] = []
    return fit_laws(read_evidence(tables, parts, told.append), names, told.append), told
