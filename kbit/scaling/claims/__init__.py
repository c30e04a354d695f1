"""The paper's claims as code: one file each, and this list. A claim is tested on every study's tables and fits.

A test states beforehand what supports and what refutes it; it is never changed because of what it finds.
"""

from kbit.scaling.claims.claim import Claim, Finding, Subject, Tables
from kbit.scaling.claims.table import SCHEMA, claims_frame, write_claims

CLAIMS: tuple[Claim, ...] = ()
"""In the order of the paper's hypotheses H1 to H14."""

__all__ = ["CLAIMS", "SCHEMA", "Claim", "Finding", "Subject", "Tables", "claims_frame", "write_claims"]
