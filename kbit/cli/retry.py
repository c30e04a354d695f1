"""`kbit retry`: drop the parts that hold failed rows, so that the next run tries their cells again."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from kbit.plan.plan import plan_study
from kbit.store.head import hold_results
from kbit.upkeep.retry import Failures, drop_parts, find_failures


def retry(study: Path, dry_run: bool) -> None:
    """List the parts with failed rows, then drop them. UserError while a run holds the results folder."""
    plan = plan_study(study)
    if dry_run:
        list_failures(find_failures(plan))
        return
    with hold_results("kbit retry"):
        failures = list_failures(find_failures(plan))
        cells = drop_parts(failures)
    if cells:
        print(f"{len(failures):,} parts dropped: {cells:,} cells are tried again by `kbit run {study}`")


def list_failures(failures: Iterable[Failures]) -> list[Failures]:
    """Print each part with its errors, the most frequent first; returns them."""
    found = list(failures)
    for failure in found:
        print(f"{failure.shard.part} ({failure.shard.model.name}): {len(failure.errors):,} failed")
        for error, count in Counter(failure.errors).most_common(3):
            print(f"    {count:,} x {(error.splitlines() or [''])[0]}")
    if not found:
        print("No part of the study holds a failed row: nothing to try again")
    return found
