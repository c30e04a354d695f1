"""What jobs leave beside their output: a log and a benchmark each, named as the output is."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from kbit.plan.hub import data_digest
from kbit.plan.plan import Plan
from kbit.store.paths import RESULTS

FOLDERS = (RESULTS / "logs", RESULTS / "benchmarks")
OF_FILES = ("evaluate", "build_requests", "measure_outliers", "fetch_model", "fetch_task", "import_published")
"""Rules with a job for each shared file of a kind."""
OF_STUDIES = ("tables", "fit", "report")
"""Rules with one job a study."""


def unneeded_traces(plans: Iterable[Plan]) -> list[Path]:
    """Traces of jobs that no study has, sorted. What others write there (Slurm, training) is left alone."""
    needed = {job for plan in plans for job in jobs_of(plan)}
    traces = [
        (folder, path)
        for folder in FOLDERS
        for rule in (*OF_FILES, *OF_STUDIES)
        for path in sorted((folder / rule).rglob("[!.]*.*"))
        if path.is_file()
    ]
    return [path for folder, path in traces if str(path.relative_to(folder).with_suffix("")) not in needed]


def jobs_of(plan: Plan) -> Iterator[str]:
    """rule/name of every job of a study, as its traces are named within their folder."""
    for shard in plan.shards:
        yield f"evaluate/{shard.model.slug}/{shard.slice_name}.{shard.key}"
    for path in plan.requests:
        yield f"build_requests/{path.stem}"
    for job in plan.outliers:
        yield f"measure_outliers/{job.output.stem}"
    for model in plan.study.models:
        yield f"fetch_model/{model.slug}"
    for task in plan.tasks:
        yield f"fetch_task/{task.name}.{data_digest(task)}"
    for one in plan.imports:
        yield f"import_published/{one.publication.name}.{one.key}"
    for rule in OF_STUDIES:
        yield f"{rule}/{plan.study.name}"
