"""`kbit run`: check the study, then execute plain Snakemake on it and show how many cells are done."""

import re
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from kbit.cli.executor import check_executor
from kbit.cli.fetch import refetch
from kbit.cli.orphans import check_choice, settle_orphans
from kbit.cli.progress import Progress
from kbit.cli.verdict import print_verdict
from kbit.plan.plan import Plan, check_runnable, plan_study
from kbit.spec.errors import UserError
from kbit.spec.hardware import hardware_of_profile
from kbit.store.head import hold_results
from kbit.store.paths import RESULTS, report_path, study_folder

EXECUTES_NOTHING = re.compile(
    r"-[a-zA-Z]*n[a-zA-Z]*|-[SDl]|--(dry-?run|unlock|lint|touch|report(=.*)?|dag|d3dag|rulegraph|filegraph|summary|"
    r"detailed-summary|list|list-rules|list-target-rules)"
)
"""Arguments with which Snakemake executes no job: its output is shown as it is."""


def run_study(
    study: Path, profile: Path, arguments: list[str], trust_remote_code: bool = False, orphans: str = "wait"
) -> int:
    """Run a study to the end; returns Snakemake's exit code. UserError for a mistake in the study.

    trust_remote_code: run code that comes with models of the study; every row says so. orphans: what becomes of Slurm
    jobs that an earlier head left behind, wait or cancel.
    """
    check_choice(orphans)
    plan = plan_study(study)
    hardware_of_profile(profile)
    executes = executes_jobs(arguments)
    check_executor(profile, submits=executes)
    refuse_config(arguments)
    command = snakemake_command(study, profile, arguments, trust_remote_code)
    if not executes:
        return subprocess.run(command, check=False).returncode
    check_runnable(plan)
    with hold_results() as earlier_died:
        if earlier_died:
            # Snakemake's own lock outlives a killed head; ours says that nobody holds it.
            subprocess.run([*command, "--unlock", "--quiet", "all"], check=False, capture_output=True)
        settle_orphans(orphans)
        refetch(plan)
        return execute(plan, command)


def executes_jobs(arguments: list[str]) -> bool:
    """Whether Snakemake runs jobs, given these arguments; --report alone does not, but may be the last act of a run."""
    return "--report-after-run" in arguments or not any(map(EXECUTES_NOTHING.fullmatch, arguments))


def refuse_config(arguments: list[str]) -> None:
    """UserError for a second --config: Snakemake would drop the first, and with it the study."""
    for argument in arguments:
        if argument.partition("=")[0] in ("--config", "-C"):
            raise UserError(f"{argument} would replace the study's own: state the place in the profile's configfile")


def snakemake_command(study: Path, profile: Path, arguments: list[str], trust_remote_code: bool) -> list[str]:
    """The Snakemake command line; it works by hand just as well."""
    snakefile = Path("Snakefile")
    if not snakefile.is_file():
        # Run from a scratch folder: the pipeline lies beside the package.
        snakefile = Path(__file__).parents[2] / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--profile", str(profile)]
    trust = ["trust_remote_code=true"] if trust_remote_code else []
    return [*command, "--config", f"study={study}", *trust, *arguments]


def execute(plan: Plan, command: list[str]) -> int:
    """Run Snakemake with its output in a log file, progress on the terminal, and the verdict at the end."""
    print(f"{shlex.join(command)}", flush=True)
    log = study_folder(plan.study.name) / "logs" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    with log.open("w") as stream:
        code = watch(plan, command, stream)
    if code != 0:
        return explain_failure(code, started, log)
    if "Nothing to be done" in log.read_text(errors="replace"):
        print("Nothing to be done: every cell of the study, its tables and its report are up to date.")
    if report_path(plan.study.name).exists():
        print_verdict(plan)
        print(f"Report: {report_path(plan.study.name)}")
    return 0


def watch(plan: Plan, command: list[str], stream: TextIO) -> int:
    # It inherits the lock on results/, so that nobody gets beside it if this process alone is killed.
    process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, close_fds=False)
    try:
        with Progress(plan) as progress:
            while True:
                try:
                    return process.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    progress.update()
    finally:
        # At Ctrl-C Snakemake gets the same signal from the terminal and ends its jobs; finished cells stay.
        process.wait()


def explain_failure(code: int, started: float, log: Path) -> int:
    """Say why a run stopped; returns its exit code.

    Mistakes of the user, which jobs leave as one line each in their logs, are shown as they are, and the code is 2;
    for anything else the end of Snakemake's output is shown.
    """
    logs = [path for path in (RESULTS / "logs").rglob("*.log") if path.stat().st_mtime >= started]
    mistakes = [
        line
        for path in sorted(logs)
        for line in path.read_text(errors="replace").splitlines()
        if line.startswith("kbit: ")
    ]
    for line in dict.fromkeys(mistakes):
        print(line, file=sys.stderr)
    if mistakes:
        return 2
    print("\n".join(log.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)
    print(f"The run stopped; finished cells are kept. All of Snakemake's output: {log}", file=sys.stderr)
    return code
