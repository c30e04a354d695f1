"""A scratch clone whose study runs through profiles/slurm, edited as a user would edit it."""

import re
import subprocess
import sys

from lab_files import ACCOUNT, PARTITION
from workspace import Workspace

QUICK = ("--latency-wait", "20", "--slurm-init-seconds-before-status-checks", "2")
"""The test's cluster answers at once and its file system is local: the waits of a real one are cut short."""


class Clone(Workspace):
    """A workspace (see there) that also runs on the test's cluster."""

    def set_place(self, partition: str = PARTITION) -> None:
        """Uncomment account and partition in the shipped profile, and nothing else."""
        profile = self.root / "profiles/slurm/profile.yaml"
        text = profile.read_text()
        for key, value in (("slurm_account", ACCOUNT), ("slurm_partition", partition)):
            text, found = re.subn(rf"^(\s+)# {key}: .*$", rf"\g<1>{key}: {value}", text, flags=re.MULTILINE)
            assert found == 1, f"{key} is not in the shipped profile"
        profile.write_text(text)

    def command(self, *arguments: str) -> list[str]:
        """`kbit run` of the study on the cluster."""
        place = ["--profile", "profiles/slurm"]
        return [sys.executable, "-m", "kbit.cli", "run", "config/small.yaml", *place, *QUICK, *arguments]

    def run_on_cluster(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess:
        return self.call(*self.command(*arguments), expect=expect)

    def start_on_cluster(self, *arguments: str) -> subprocess.Popen:
        """Start the head; what it says is in head.log."""
        with (self.root / "head.log").open("a") as log:
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
