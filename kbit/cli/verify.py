"""`kbit verify`: is everything in the results folder what it says it is?"""

from collections import Counter

from kbit.cli.findings import print_findings
from kbit.upkeep.verify import verify_results


def verify(as_json: bool) -> int:
    """Print what is wrong; returns the exit code: 1 if anything is damaged."""
    counts: Counter[str] = Counter()
    code = print_findings(verify_results(counts), as_json, counts)
    if not as_json:
        checked = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count) or "nothing there"
        print(f"{'Damaged' if code else 'No damage'}: {checked} checked")
    return code
