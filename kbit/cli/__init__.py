"""The `kbit` command: one short function per verb. Imports stand inside the functions, so `kbit --help` is instant."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kbit import __version__
from kbit.spec.errors import UserError

app = typer.Typer(
    help="k-bit inference scaling laws: for a fixed number of total model bits, how many bits should each weight have?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyFile = Annotated[Path, typer.Argument(help="A study, such as config/tiny.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run Python code that comes with models; without it such a model is refused. Every row says so.",
    ),
]
DeviceMemory = Annotated[
    float | None,
    typer.Option(
        min=0,
        envvar="KBIT_DEVICE_MEMORY_GB",
        help="GB of each GPU to use at most, where others use it too; without it, what is free. A model that does not "
        "fit is streamed through it layer by layer.",
    ),
]


def main() -> None:
    """Run a verb; a user's mistake is one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"kbit: {error}", file=sys.stderr)
        sys.exit(2)


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"kbit {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def plan(
    study: StudyFile,
    profile: Annotated[Path | None, typer.Option(help="Snakemake profile: what its place has is costed.")] = None,
    json: AsJson = False,
) -> None:
    """Print a study's models, specs, cells, slices, what is already there, and how many GPU-hours the rest will take.

    Example: kbit plan config/paper.yaml --profile profiles/local
    """
    from kbit.cli.plan import print_plan
    from kbit.plan.plan import plan_study
    from kbit.plan.resources import estimate_study
    from kbit.spec.hardware import Hardware, hardware_of_profile

    hardware = Hardware() if profile is None else hardware_of_profile(profile)
    print_plan(estimate_study(plan_study(study), hardware), as_json=json)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    study: StudyFile,
    profile: Annotated[Path, typer.Option(help="Snakemake profile: where jobs run.")] = Path("profiles/local"),
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Check a study, then execute Snakemake on it; what follows the options goes to Snakemake as it is.

    Example: kbit run config/tiny.yaml --profile profiles/local -n
    """
    from kbit.cli.run import run_study

    sys.exit(run_study(study, profile, context.args, trust_remote_code))


@app.command()
def fetch(study: StudyFile) -> None:
    """Fetch the hub's models and data sets that a study names, and verify what was fetched before.

    A run does so by itself; this is for a machine that has a network where those that run jobs have none.

    Example: kbit fetch config/paper.yaml
    """
    from kbit.cli.fetch import fetch_study

    fetch_study(study)


@app.command(hidden=True)
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


@app.command(hidden=True)
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


@app.command()
def pin(
    data_sheet: Annotated[Path, typer.Argument(help="Such as config/models.yaml or config/tasks.yaml.")],
    names: Annotated[list[str] | None, typer.Argument(help="Models or tasks; all of the file if absent.")] = None,
) -> None:
    """Fill in hub revisions, and parameter counts, of a data sheet of models or a list of tasks.

    Example: kbit pin config/models.yaml pythia-70m
    """
    from kbit.evaluation.pin import pin_sheet

    for change in pin_sheet(data_sheet, names or None):
        print(change)


@app.command()
def build_requests(
    specs: Annotated[list[Path], typer.Argument(help="Requests specs in results/requests/: .json gives .parquet.")],
    output: Annotated[Path | None, typer.Option(help="Parquet file to write instead, of a single spec.")] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Build and tokenize the items of one task for one tokenizer (called by a rule), or of several.

    Example: kbit build-requests results/requests/T.0123456789ab.json --output results/requests/T.0123456789ab.parquet
    """
    import json

    from kbit.evaluation.imports import import_quickly
    from kbit.evaluation.offline import stay_offline

    if output and len(specs) > 1:
        raise UserError(f"--output names one file, and {len(specs)} requests specs are given; leave it out")
    stay_offline()
    import_quickly("kbit.evaluation.stored_task", "kbit.models.tokenizer", "lm_eval.tasks")
    from kbit.evaluation.requests import build_requests as build

    for spec in specs:
        build(json.loads(spec.read_text()), output or spec.with_suffix(".parquet"), trust_remote_code)


@app.command()
def run_shard(
    shard: Annotated[Path, typer.Argument(help="A shard file in results/shards/.")],
    part: Annotated[Path, typer.Option(help="Parquet file to write.")],
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    trust_remote_code: TrustRemoteCode = False,
    device_memory_gb: DeviceMemory = None,
) -> None:
    """Evaluate the cells of one shard, from where earlier attempts stopped (called by a rule).

    Example: kbit run-shard results/shards/M/all.0123456789ab.json --part results/parts/M/all.0123456789ab.parquet
    """
    from kbit.evaluation.run_shard import run_shard as run

    run(shard, part, threads, device, trust_remote_code, device_memory_gb)


@app.command()
def build_tables(study: StudyFile) -> None:
    """Build a study's tables from its parts (called by a rule).

    Example: kbit build-tables config/tiny.yaml
    """
    from kbit.cli.tables import build_study_tables

    build_study_tables(study)


@app.command()
def fit(study: StudyFile) -> None:
    """Fit the scaling laws of a study to its tables (called by a rule).

    Example: kbit fit config/tiny.yaml
    """
    from kbit.cli.tables import fit_study_tables

    fit_study_tables(study)


@app.command()
def report(study: StudyFile) -> None:
    """Write a study's report from its tables and fits (called by a rule).

    Example: kbit report config/tiny.yaml
    """
    from kbit.cli.tables import render_study_report

    render_study_report(study)


@app.command()
def compare(
    study: StudyFile,
    first: Annotated[str, typer.Argument(help="A cell: MODEL/SPEC/TASK, or the first digits of its id.")],
    second: Annotated[str, typer.Argument(help="The cell that is compared with it.")],
    json: AsJson = False,
) -> None:
    """Test two cells that answered the same items, paired by item: accuracy by McNemar, log-likelihood by t.

    Example: kbit compare config/tiny.yaml tiny-neox-160x4/int8-b64/ho_piqa tiny-neox-160x4/int3-b64/ho_piqa
    """
    from kbit.cli.compare import compare as compare_cells

    compare_cells(study, first, second, as_json=json)


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="Name of a recipe, such as neox-64x2.")],
    output: Annotated[Path, typer.Option(help="Folder that receives the checkpoint folders.")] = Path(
        "results/retrain/models"
    ),
    tokens: Annotated[int, typer.Option(min=1024, help="Tokens to train on.")] = 10_000_000,
    seed: Annotated[int, typer.Option(help="Seed of weights and data order.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train one of the embedded models from scratch on the committed corpus.

    Example: kbit train neox-32x2 --tokens 1000000
    """
    from kbit.models.corpus import train_tokenizer
    from kbit.models.train import train_model

    train_model(model, train_tokenizer(), output, tokens=tokens, seed=seed, device=device)


@app.command()
def build_tasks(
    output: Annotated[Path, typer.Option(help="Folder that receives the task YAML and data.")] = Path(
        "results/retrain/tasks"
    ),
    corpus: Annotated[Path, typer.Option(help="Folder of the corpus.")] = Path("data/corpus"),
) -> None:
    """Build the embedded tasks from held-out text.

    Example: kbit build-tasks --output results/retrain/tasks
    """
    from kbit.evaluation.proxies import build_tasks as build

    build(output, corpus)
