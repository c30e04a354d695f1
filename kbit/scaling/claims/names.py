"""Which family of the paper a family of a study is, by its name."""

import re

PAPER_FAMILIES = {
    "OPT": r"\bopt\b",
    "Pythia": r"\b(pythia|(gpt-?)?neo-?x)\b",
    "GPT-2": r"\bgpt-?2\b",
    "BLOOMZ": r"\bbloomz\b",
    "BLOOM": r"\bbloom\b",
}


def paper_family(family: str) -> str | None:
    """OPT, Pythia, GPT-2, BLOOM or BLOOMZ; None for a family that the paper does not have."""
    return next((name for name, pattern in PAPER_FAMILIES.items() if re.search(pattern, family.lower())), None)
