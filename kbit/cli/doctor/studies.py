"""The studies in config/ and those named: can they be planned, and is all they take from the hub identified?"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from kbit.plan.plan import Plan, plan_study
from kbit.spec.errors import UserError
from kbit.upkeep.finding import Finding
from kbit.upkeep.studies import CONFIG, find_studies


def check(named: Sequence[Path]) -> Iterator[Finding]:
    try:
        found = find_studies()
    except UserError as error:
        yield Finding("problem", str(error), "mend it, or take it out of config/")
        found = []
    chosen = {path.resolve() for path in named}
    paths = {path.resolve(): path for path in (*found, *named)}
    if not paths:
        yield Finding("note", f"no study in {CONFIG}/, and none named")
    for resolved, path in paths.items():
        try:
            plan = plan_study(path)
        except UserError as error:
            # One that lies there need not be one that is run.
            yield Finding("problem" if resolved in chosen else "note", f"{path} cannot be planned: {error}")
            continue
        if plan.unpinned:
            yield Finding(
                "problem" if resolved in chosen else "note",
                f"{path}: {len(plan.unpinned)} models and tasks of the hub have no revision, so nothing is run "
                f"({', '.join(plan.unpinned[:5])}{', ...' if len(plan.unpinned) > 5 else ''})",
                " && ".join(f"kbit pin {quote(str(sheet))}" for sheet in data_sheets(plan)),
            )
        else:
            published = sum(len(one.cells) for one in plan.imports)
            also = f", and {published:,} published ones" if published else ""
            yield Finding("ok", f"{path}: {len(plan.cells):,} cells of {len(plan.study.models)} models{also}")


def data_sheets(plan: Plan) -> list[Path]:
    """The files that list what the study has unpinned: models, tasks, or both."""
    config, folder = plan.study.config, plan.study.path.parent
    lists = {config.models_files: plan.study.models, config.tasks_files: plan.study.tasks}
    return [
        folder / file
        for files, entries in lists.items()
        for file in files
        if {entry.name for entry in entries} & {*plan.unpinned}
    ]
