"""A scratch clone whose study runs through profiles/slurm, edited as a user would edit it."""

import re
import subprocess
import sys

from lab_files import ACCOUNT, PARTITION
from workspace import Workspace

TABLES = ("--until", "tables")
"""The head's own work, but for fits and report: those know nothing of Slurm."""
QUICK = ("--latency-wait", "20", "--slurm-init-seconds-before-status-checks", "2")
"""The test's cluster answers at once and its file system is local: the waits of a real one are cut short."""


class Clone(Workspace):
    """A workspace (see there) that also runs on the test's cluster."""

    def set_place(self, partition: str = PARTITION) -> None:
        """Uncomment account and partition in the shipped profile, and nothing else."""
        for key, shipped, value in (
            ("slurm_account", "my_account", ACCOUNT),
            ("slurm_partition", "my_partition", partition),
        ):
            self.edit("profiles/slurm/profile.yaml", f"# {key}: {shipped}", f"{key}: {value}")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace what stands once in a file."""
        text = (self.root / path).read_text()
        assert text.count(old) == 1, f"{path}: {old!r} stands in it {text.count(old)} times"
        (self.root / path).write_text(text.replace(old, new))

    def command(self, *arguments: str) -> list[str]:
        """`kbit run` of the study on the cluster."""
        place = ["--profile", "profiles/slurm"]
        return [sys.executable, "-m", "kbit.cli", "run", "config/small.yaml", *place, *QUICK, *arguments]

    def run_on_cluster(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess:
        return self.call(*self.command(*arguments), expect=expect)

    def start_on_cluster(self, *arguments: str, said: str = "head.log") -> subprocess.Popen:
        """Start a head; what it says is appended to the file `said`."""
        with (self.root / said).open("a") as log:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.root,
                env=self.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def submitted(self) -> list[str]:
        """Slurm's ids of the jobs that the latest head submitted, in order."""
        logs = sorted(self.root.glob("results/studies/small/logs/*.log"))
        return re.findall(r"has been submitted with SLURM jobid (\d+)", logs[-1].read_text()) if logs else []

    def forget_results(self) -> None:
        """As before the first run, but with the requests built."""
        for path in [*self.parts(), *self.root.glob("results/journal/*/*.jsonl")]:
            path.unlink()

    def disturb(self, statements: str) -> None:
        """Run statements before every cell that this clone's jobs evaluate, which is cells[0]."""
        bench = self.root / "kbit/evaluation/bench.py"
        body = "\n".join(f"    {line}" for line in statements.strip().splitlines())
        bench.write_text(f"{bench.read_text()}\n\n{DISTURBED.format(body=body)}")

    def finished_cells(self) -> int:
        return sum(self.evaluations().values())

    def count_starts(self) -> int:
        """How often the evaluation of a cell was begun."""
        journals = self.root.glob("results/journal/*/*.jsonl")
        return sum(path.read_bytes().count(b'{"event":"start"') for path in journals)


DISTURBED = """
_undisturbed = Bench.score


def _disturbed(self, applied, cells):
{body}
    return _undisturbed(self, applied, cells)


Bench.score = _disturbed
"""
