"""What one types to look after a results folder."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kbit.cli.app import RESULTS, AsJson, StudyFile, app
from kbit.store.writers import IDLE_HOURS

verb = partial(app.command, rich_help_panel=RESULTS)


@verb()
def status(study: StudyFile, json: AsJson = False) -> None:
    """Print how far a study is: cells done, running, queued, failed, the pace, the last errors.

    Reads files and Slurm's queue and waits for nobody; a run goes on undisturbed.

    Example: kbit status config/tiny.yaml
    """
    from kbit.cli.status import print_status

    print_status(study, as_json=json)


@verb()
def diff(study: StudyFile, json: AsJson = False) -> None:
    """Print what changed in a study since its last report, or between its last two: cells, scores, verdicts.

    Example: kbit diff config/tiny.yaml
    """
    from kbit.cli.diff import diff as print_changes

    print_changes(study, as_json=json)


@verb()
def retry(
    study: StudyFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only list.")] = False,
) -> None:
    """Drop a study's parts that hold failed rows, so that these cells are tried again by the next run.

    Example: kbit retry config/tiny.yaml
    """
    from kbit.cli.retry import retry as drop

    drop(study, dry_run)


@verb()
def verify(json: AsJson = False) -> None:
    """Check everything in the results folder against what it says of itself; exit code 1 if anything is damaged.

    Example: kbit verify
    """
    from kbit.cli.verify import verify as check

    sys.exit(check(as_json=json))


@verb()
def prune(
    studies: Annotated[
        list[Path] | None, typer.Argument(help="Studies that results are kept for beside those in config/.")
    ] = None,
    without: Annotated[
        list[Path] | None, typer.Option(help="A study in config/ whose needs do not count; may be given several times.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
    idle_hours: Annotated[
        float,
        typer.Option(min=1, help="A journal of another machine that was not written for so long is not in use."),
    ] = IDLE_HOURS,
    json: AsJson = False,
) -> None:
    """List what no study needs and which journals can be merged; --yes does it. No row is ever lost.

    Example: kbit prune --yes
    """
    from kbit.cli.prune import prune_results

    prune_results(studies or [], without or [], yes, idle_hours, as_json=json)


@verb()
def doctor(
    studies: Annotated[list[Path] | None, typer.Argument(help="Studies to check beside those in config/.")] = None,
    json: AsJson = False,
) -> None:
    """Check this machine, the results folder and the studies; each line says what to do. Exit code 1 for a problem.

    Example: kbit doctor
    """
    from kbit.cli.doctor import examine

    sys.exit(examine(studies or [], as_json=json))
