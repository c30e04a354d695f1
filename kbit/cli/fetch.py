"""`kbit fetch`: bring what a study names on the hub into the cache, from a machine that has a network."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from kbit.evaluation.fetch import fetch_model_to, fetch_task_to
from kbit.plan.hub import model_stamps, task_stamps
from kbit.plan.plan import check_runnable, plan_study
from kbit.spec.errors import UserError


def fetch_study(study: Path) -> None:
    """Fetch, or verify, every model and data set of a study. UserError, after all were tried, for those that failed."""
    plan = plan_study(study)
    check_runnable(plan)
    models = [(fetch_model_to, stamp, model) for model in plan.study.models for stamp in model_stamps(model)]
    tasks = [(fetch_task_to, stamp, task) for task in plan.study.tasks for stamp in task_stamps(task)]
    if not models and not tasks:
        print(f"{study} names nothing on the hub: all its models and tasks are local")
    failed = [fetch_one(fetch, stamp, source.locator()) for fetch, stamp, source in [*models, *tasks]]
    if number := sum(failed):
        raise UserError(f"{number} of {len(failed)} could not be fetched (above); what was fetched stays")


def fetch_one(fetch: Callable[[Path, dict], str], stamp: Path, locator: dict) -> bool:
    """Whether it failed; the reason is printed then."""
    try:
        print(fetch(stamp, locator), flush=True)
    except UserError as error:
        print(f"kbit: {error}", file=sys.stderr, flush=True)
        return True
    return False


def fetch_file(fetch: Callable[[Path, dict], str], file: Path, stamp: Path) -> None:
    """Fetch what one file names that planning has written."""
    try:
        locator = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} (what to fetch) cannot be read: {error}; plan the study again") from None
    print(fetch(stamp, locator), file=sys.stderr)
