"""Findings on the terminal or as JSON, and the exit code they come to."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from rich.console import Console

from kbit.upkeep.finding import Finding

COLORS = {"ok": "green", "note": "cyan", "problem": "bold red"}


def print_findings(findings: Iterable[Finding], as_json: bool, counts: Mapping[str, int] | None = None) -> int:
    """Print findings as they come; returns 1 if one is a problem, else 0. `counts` is filled while they come."""
    console = Console(highlight=False, soft_wrap=True)
    found = []
    for finding in findings:
        found.append(finding)
        if not as_json:
            console.print(f"{finding.level:8}", style=COLORS[finding.level], end="")
            console.print(finding.what, markup=False)
            if finding.do:
                console.print(f"{'':8}-> {finding.do}", markup=False)
    problems = sum(finding.level == "problem" for finding in found)
    if as_json:
        counted = {} if counts is None else {"checked": dict(counts)}
        print(json.dumps({"problems": problems, **counted, "findings": list(map(asdict, found))}, indent=2))
    return 1 if problems else 0
