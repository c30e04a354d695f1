"""Progress of a run: cells done / total, rate, time left. A bar on a terminal, plain lines otherwise."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress

from kbit.plan.missing import FinishedCells, missing_cells
from kbit.plan.plan import Plan

BAR_SECONDS = 2
LINE_SECONDS = 15


class Progress:
    """Counts finished cells from parts and journals; knows nothing of Snakemake."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.total = len(plan.cells)
        self.started = time.monotonic()
        self.at_start = self.count_done()
        self.shown = 0.0
        self.on_terminal = sys.stdout.isatty()
        self.bar = RichProgress(
            TextColumn("{task.completed:,}/{task.total:,} cells"),
            BarColumn(),
            TextColumn("{task.fields[pace]}"),
            console=Console(),
        )
        self.task = self.bar.add_task("cells", total=self.total, completed=self.at_start, pace="")

    def __enter__(self) -> "Progress":
        if self.on_terminal:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.show()
        if self.on_terminal:
            self.bar.stop()

    def update(self) -> None:
        """Show progress if it is time to; counting reads the journals of unfinished shards alone."""
        if time.monotonic() - self.shown >= (BAR_SECONDS if self.on_terminal else LINE_SECONDS):
            self.show()

    def show(self) -> None:
        self.shown = time.monotonic()
        try:
            done = self.count_done()
        except OSError:
            return  # a shared file system that does not answer now costs a line, not the run
        pace = self.pace(done)
        if self.on_terminal:
            self.bar.update(self.task, completed=done, pace=pace)
        elif done > self.at_start or done < self.total:
            print(f"{done:,}/{self.total:,} cells{', ' if pace else ''}{pace}", flush=True)

    def pace(self, done: int) -> str:
        """Rate and time left, once there is something to measure."""
        new, elapsed = done - self.at_start, time.monotonic() - self.started
        if new <= 0:
            return ""
        rate = new / elapsed
        left = (self.total - done) / rate
        return f"{rate:.1f} cells/s, {int(left // 60)}:{int(left % 60):02d} left"

    def count_done(self) -> int:
        finished = FinishedCells()
        return self.total - sum(len(missing_cells(shard, finished)) for shard in self.plan.shards)
