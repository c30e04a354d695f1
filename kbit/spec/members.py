"""Every member of the quantization families: name, version, legal bits, options. Torch-free.

A version is part of the identity of every cell that uses the member: raise it when a change of the
implementation may change a stored weight. `built` is false for members that a study may already plan
but that this release cannot evaluate. Tests hold these lists equal to the implementations.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a family."""

    name: str
    version: int
    """Raised when stored weights may change; part of the cell's identity."""
    bits: range = range(2, 9)
    """Legal widths k of a code, data types only."""
    has_exponent_bits: bool = False
    """Whether the spec must state the exponent bits E, 1 <= E <= k - 1, data types only."""
    built: bool = True
    """Whether this release can evaluate it."""
    summary: str = ""
    """One line for the generated documentation."""


def family(*members: Member) -> Mapping[str, Member]:
    return {member.name: member for member in members}


DATA_TYPES = family(
    Member("none", 1, bits=range(16, 17), summary="the 16-bit control: weights as they are"),
    Member("int", 1, summary="symmetric integers, 2^k - 1 levels"),
    Member("float", 1, has_exponent_bits=True, summary="IEEE-like minifloat with E exponent bits, no NaN or infinity"),
    Member("dynamic", 1, summary="dynamic exponent: decades of linearly spaced levels"),
    Member("quantile", 1, summary="quantiles of the whole tensor, one codebook per tensor"),
)

SCALE_FORMATS = family(
    Member("16-bit", 1, summary="fp16 for fp32 weights, else the weight's own 16-bit dtype"),
)

SOLVERS = family(
    Member("rtn", 1, summary="round to nearest"),
)

CENTERINGS = family(
    Member("none", 1, summary="weights as they are"),
    Member("tensor", 1, built=False, summary="the tensor's mean is subtracted before and added after"),
    Member("block", 1, built=False, summary="the block's mean is subtracted before and added after"),
)

OUTLIER_RULES = family(
    Member("proxy", 1, built=False, summary="input dimensions fed by hidden units of largest weight std stay 16-bit"),
)

ROTATIONS = family(
    Member("none", 1, summary="weights as they are"),
)

DEFAULT_SCALE_FORMAT = "16-bit"
DEFAULT_SOLVER = "rtn"
DEFAULT_CENTERING = "none"
DEFAULT_OUTLIER_RULE = "proxy"
DEFAULT_ROTATION = "none"
