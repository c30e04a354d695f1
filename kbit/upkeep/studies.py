"""The studies that results are kept for, and what each of them needs."""

from collections.abc import Iterable
from pathlib import Path

from kbit.plan.hub import data_digest
from kbit.plan.plan import Plan, plan_study
from kbit.spec.errors import UserError
from kbit.spec.section import read_yaml
from kbit.store.paths import (
    fetched_model_path,
    fetched_task_path,
    locator_path,
    requests_spec_path,
    study_folder,
    task_path,
)

CONFIG = Path("config")
DATA_SHEETS = ({"models"}, {"tasks"})
"""Keys of the YAML files that studies share."""


def find_studies(folder: Path = CONFIG) -> list[Path]:
    """Every YAML file of a folder that is no data sheet. UserError for one that cannot be read."""
    paths = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    return [path for path in paths if not is_data_sheet(path)]


def is_data_sheet(path: Path) -> bool:
    content = read_yaml(path)
    return isinstance(content, dict) and set(content) in DATA_SHEETS


def plan_studies(named: Iterable[Path], without: Iterable[Path] = ()) -> list[Plan]:
    """Plans of the studies in config/ and of those named, but for those in `without`.

    UserError for one that cannot be planned: nobody knows what it needs.
    """
    left_out = {path.resolve() for path in without}
    paths = {path.resolve(): path for path in (*find_studies(), *named) if path.resolve() not in left_out}
    if not paths:
        raise UserError(f"no study is named, and {CONFIG}/ holds none: nothing says what is needed")
    plans = []
    for path in paths.values():
        try:
            plans.append(plan_study(path))
        except UserError as error:
            raise UserError(
                f"{error}; so nobody knows what {path} needs: mend it, or --without {path} goes on as if there were no "
                "such study"
            ) from None
    return plans


def needed_files(plan: Plan) -> set[Path]:
    """Shared files of a study: parts, shard files, requests, and what names its models and data sets."""
    needed = {path for shard in plan.shards for path in (shard.part, shard.file)}
    needed |= {one.part for one in plan.imports}
    needed |= {path for job in plan.outliers for path in (job.file, job.output)}
    for path, spec in plan.requests.items():
        needed |= {path, requests_spec_path(spec.task.name, spec.digest)}
    for model in plan.study.models:
        needed |= {locator_path(model.slug), fetched_model_path(model.slug)}
    for task in plan.tasks:
        digest = data_digest(task)
        needed |= {task_path(task.name, digest), fetched_task_path(task.name, digest)}
    return needed


def own_folder(plan: Plan) -> Path:
    """Where a study has its tables and fits."""
    return study_folder(plan.study.name)
