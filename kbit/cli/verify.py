"""`kbit verify`: is everything in the results folder what it says it is?"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from kbit.cli.findings import print_findings
from kbit.upkeep.inventory import size
from kbit.upkeep.verify import files_to_read, verify_results

LINE_SECONDS = 15


def verify(as_json: bool) -> int:
    """Print what is wrong; returns the exit code: 1 if anything is damaged."""
    counts: Counter[str] = Counter()
    with reading() as progress:
        code = print_findings(verify_results(counts, progress.was_read), as_json, counts)
    if not as_json:
        checked = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count) or "nothing there"
        print(f"{'Damaged' if code else 'No damage'}: {checked} checked")
    return code


class Reading:
    """How far the reading is: a bar on a terminal, a line now and then elsewhere. On standard error, as JSON may go
    to standard output."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.total = sum(map(size, files_to_read()))
        self.read = 0
        self.told = time.monotonic()
        self.task = bar.add_task("verify", total=self.total)

    def was_read(self, path: Path) -> None:
        self.read += size(path)
        self.bar.update(self.task, completed=self.read)
        if not self.bar.console.is_terminal and time.monotonic() - self.told >= LINE_SECONDS:
            self.told = time.monotonic()
            print(f"{self.read / 1e6:,.0f} of {self.total / 1e6:,.0f} MB read", file=sys.stderr, flush=True)


@contextmanager
def reading() -> Iterator[Reading]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.percentage:3.0f} %"), BarColumn(), TimeRemainingColumn())
    # Findings go through the bar, above it, only where both are the same terminal.
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        yield Reading(bar)
