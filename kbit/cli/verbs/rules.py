"""What the workflow's rules call; each works by hand just as well."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kbit.cli.app import RULES, DeviceMemory, StudyFile, TrustRemoteCode, app
from kbit.spec.errors import UserError

verb = partial(app.command, rich_help_panel=RULES)


@verb()
def fetch_model(
    model: Annotated[Path, typer.Argument(help="A file in results/models/: which model.")],
    output: Annotated[Path, typer.Option(help="Stamp to write.")],
) -> None:
    """Fetch one model of the hub (called by a rule).

    Example: kbit fetch-model results/models/M.json --output results/models/M.fetched.json
    """
    from kbit.cli.fetch import fetch_file
    from kbit.evaluation.fetch import fetch_model_to

    fetch_file(fetch_model_to, model, output)


@verb()
def fetch_task(
    task: Annotated[Path, typer.Argument(help="A file in results/tasks/: which data set.")],
    output: Annotated[Path, typer.Option(help="Stamp to write.")],
) -> None:
    """Fetch the data of one task from the hub (called by a rule).

    Example: kbit fetch-task results/tasks/T.0123456789ab.json --output results/tasks/T.0123456789ab.fetched.json
    """
    from kbit.cli.fetch import fetch_file
    from kbit.evaluation.fetch import fetch_task_to

    fetch_file(fetch_task_to, task, output)


@verb()
def build_requests(
    specs: Annotated[list[Path], typer.Argument(help="Requests specs in results/requests/: .json gives .parquet.")],
    output: Annotated[Path | None, typer.Option(help="Parquet file to write instead, of a single spec.")] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Build and tokenize the items of one task for one tokenizer (called by a rule), or of several.

    Example: kbit build-requests results/requests/T.0123456789ab.json --output results/requests/T.0123456789ab.parquet
    """
    from kbit.evaluation.imports import import_quickly
    from kbit.evaluation.offline import stay_offline
    from kbit.store.atomic import read_planned

    if output and len(specs) > 1:
        raise UserError(f"--output names one file, and {len(specs)} requests specs are given; leave it out")
    contents = [read_planned(spec) for spec in specs]
    stay_offline()
    import_quickly("kbit.evaluation.stored_task", "kbit.models.tokenizer", "lm_eval.tasks")
    from kbit.evaluation.requests import build_requests as build

    for spec, content in zip(specs, contents, strict=True):
        build(content, output or spec.with_suffix(".parquet"), trust_remote_code)


@verb()
def run_shard(
    shard: Annotated[Path, typer.Argument(help="A shard file in results/shards/.")],
    part: Annotated[Path, typer.Option(help="Parquet file to write.")],
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    gpus: Annotated[
        int, typer.Option(min=0, help="GPUs planned: it stops if it sees fewer, and uses no more. 0: what there is.")
    ] = 0,
    trust_remote_code: TrustRemoteCode = False,
    device_memory_gb: DeviceMemory = None,
) -> None:
    """Evaluate the cells of one shard, from where earlier attempts stopped (called by a rule).

    Example: kbit run-shard results/shards/M/all.0123456789ab.json --part results/parts/M/all.0123456789ab.parquet
    """
    from kbit.evaluation.imports import import_quickly

    import_quickly("kbit.evaluation.run_shard")
    from kbit.evaluation.run_shard import run_shard as run

    run(shard, part, threads, device, trust_remote_code, device_memory_gb, gpus)


@verb()
def measure_outliers(
    planned: Annotated[Path, typer.Argument(help="A file in results/outliers/: which model, which text.")],
    output: Annotated[Path, typer.Option(help="Parquet file to write.")],
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    gpus: Annotated[int, typer.Option(min=0, help="GPUs planned: it stops if it sees fewer. 0: what there is.")] = 0,
    trust_remote_code: TrustRemoteCode = False,
    device_memory_gb: DeviceMemory = None,
) -> None:
    """Look at the hidden units of one 16-bit model on a text, for the table outliers (called by a rule).

    Example: kbit measure-outliers results/outliers/M.0123456789ab.json --output results/outliers/M.0123456789ab.parquet
    """
    from kbit.evaluation.imports import import_quickly
    from kbit.evaluation.offline import stay_offline

    stay_offline()
    import_quickly("kbit.evaluation.measure_outliers")
    from kbit.evaluation.measure_outliers import measure_outliers as measure

    measure(planned, output, threads, device, trust_remote_code, device_memory_gb, gpus)


@verb()
def build_tables(study: StudyFile) -> None:
    """Build a study's tables from its parts (called by a rule).

    Example: kbit build-tables config/tiny.yaml
    """
    from kbit.cli.tables import build_study_tables

    build_study_tables(study)


@verb()
def fit(
    study: StudyFile,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; more than two are not used.")] = 1,
) -> None:
    """Fit the scaling laws of a study to its tables (called by a rule).

    Example: kbit fit config/tiny.yaml
    """
    from kbit.cli.tables import fit_study_tables

    fit_study_tables(study, threads)


@verb()
def report(study: StudyFile) -> None:
    """Write a study's report from its tables and fits (called by a rule).

    Example: kbit report config/tiny.yaml
    """
    from kbit.cli.tables import render_study_report

    render_study_report(study)
