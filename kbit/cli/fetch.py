"""`kbit fetch`: bring what a study names on the hub into the cache, from a machine that has a network."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from kbit.evaluation.fetch import fetch_model_to, fetch_task_to, is_cached
from kbit.plan.hub import model_stamps, task_stamps
from kbit.plan.plan import Plan, check_runnable, plan_study
from kbit.spec.errors import UserError
from kbit.store.atomic import read_planned

Fetch = Callable[[Path, dict], str]
LOGS = "results/logs/fetch_model/, results/logs/fetch_task/"


def fetch_study(study: Path) -> None:
    """Fetch, or verify, every model and data set of a study. UserError, after all were tried, for those that failed."""
    plan = plan_study(study)
    check_runnable(plan)
    sources = [(fetch, stamp, locator) for fetch, stamp, locator, _ in hub_sources(plan)]
    if not sources:
        print(f"{study} names nothing on the hub: all its models and tasks are local")
    failed = sum(fetch_one(*source) for source in sources)
    if failed:
        raise UserError(f"{failed} of {len(sources)} could not be fetched (above); what was fetched stays")


def hub_sources(plan: Plan) -> Iterator[tuple[Fetch, Path, dict, list[Path]]]:
    """How each model and data set on the hub is fetched, its stamp, its locator, and the files that are made of it."""
    for model in plan.study.models:
        for stamp in model_stamps(model):
            made = [shard.part for shard in plan.shards if shard.model.model_id == model.model_id]
            yield fetch_model_to, stamp, model.locator(), made
    for task in plan.tasks:
        for stamp in task_stamps(task):
            made = [path for path, spec in plan.requests.items() if spec.task == task]
            yield fetch_task_to, stamp, task.locator(), made


def fetch_one(fetch: Fetch, stamp: Path, locator: dict) -> bool:
    """Whether it failed; the reason is printed then."""
    try:
        print(fetch(stamp, locator), flush=True)
    except UserError as error:
        print(f"kbit: {error}", file=sys.stderr, flush=True)
        return True
    return False


def fetch_file(fetch: Fetch, file: Path, stamp: Path) -> None:
    """Fetch what one file names that planning has written."""
    print(fetch(stamp, read_planned(file)), file=sys.stderr)


def refetch(plan: Plan) -> None:
    """Before a run: fetch again what was fetched before and is still needed, if it or its stamp is gone.

    Snakemake sees the stamp alone; and where a stamp is missing it would make anew what exists already.
    """
    first_time = 0
    for fetch, stamp, locator, made in hub_sources(plan):
        exists = [path.exists() for path in made]
        if all(exists) or (stamp.exists() and is_cached(stamp)):
            continue
        if stamp.exists() or any(exists):
            print(fetch(stamp, locator), flush=True)
        else:
            first_time += 1
    if first_time:
        print(f"{first_time} models and data sets are fetched from the hub first: {LOGS}", flush=True)
