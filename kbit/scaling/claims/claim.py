"""What a claim is: a sentence of the paper, the test that decides it, and what the test finds in a study."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

from kbit.scaling.evidence import Evidence

Status = Literal["supported", "refuted", "undetermined"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about."""

    family: str
    """`fit_rows.ALL` where it is of all families together."""
    metric: str = ""
    """Column of the table points that was judged; empty where there is none to name."""
    bit_accounting: str = ""
    """body_bits or total_bits; empty where no bits are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the test of a claim found for one subject."""

    subject: Subject
    statistic: str
    """What `value` is, in words."""
    status: Status
    value: float | None = None
    low: float | None = None
    high: float | None = None
    """Ends of its interval, of level `fit_rows.LEVEL`; both None without one."""
    unit: str = ""
    expected: str = ""
    """The condition on the value, or on its interval, that supports the claim, such as `> 0`."""
    n: int = 0
    """Points (model, spec) it rests on."""
    method: str = ""
    missing: str = ""
    """Of an undetermined finding: what the study lacks."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a study that claims are tested on."""

    evidence: Evidence
    fits: pl.DataFrame
    """The study's fits, columns of `fit_rows.SCHEMA`."""
    outliers: pl.DataFrame | None = None
    """The table outliers, where the study has it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of the paper as code."""

    name: str
    """H1 to H14."""
    title: str
    """The claim in a few words."""
    statement: str
    """What is tested, and what decides: one or two sentences."""
    source: str
    """Where the paper says so."""
    test: Callable[[Tables], Iterator[Finding]]
    """One finding per subject; none where the study says nothing at all about it."""


def missing(subject: Subject, statistic: str, what: str, n: int = 0, note: str = "") -> Finding:
    """The finding of a test that could not be made."""
    return Finding(subject, statistic, "undetermined", n=n, missing=what, note=note)
