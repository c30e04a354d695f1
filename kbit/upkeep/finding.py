"""What a check found, and what to do about it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `kbit verify` or `kbit doctor`."""

    level: Literal["ok", "note", "problem"]
    """ok: as it should be; note: good to know, nothing is wrong; problem: something should be done."""
    what: str
    do: str = ""
    """The command, or the act, that mends a problem."""
