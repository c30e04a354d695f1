"""What one types to run a study, and to look at its cells."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kbit.cli.app import STUDY, AsJson, StudyFile, TrustRemoteCode, app

verb = partial(app.command, rich_help_panel=STUDY)


@verb()
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


@verb(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    study: StudyFile,
    profile: Annotated[Path, typer.Option(help="Snakemake profile: where jobs run.")] = Path("profiles/local"),
    trust_remote_code: TrustRemoteCode = False,
    orphans: Annotated[
        str, typer.Option(help="Slurm jobs that a run which died left behind: wait for them, or cancel them.")
    ] = "wait",
) -> None:
    """Check a study, then execute Snakemake on it; what follows the options goes to Snakemake as it is.

    Example: kbit run config/tiny.yaml --profile profiles/local -n
    """
    from kbit.cli.run import run_study

    sys.exit(run_study(study, profile, context.args, trust_remote_code, orphans))


@verb()
def fetch(study: StudyFile) -> None:
    """Fetch the hub's models and data sets that a study names, and verify what was fetched before.

    A run does so by itself; this is for a machine that has a network where those that run jobs have none.

    Example: kbit fetch config/paper.yaml
    """
    from kbit.cli.fetch import fetch_study

    fetch_study(study)


@verb(name="import")
def import_published(
    description: Annotated[Path, typer.Argument(help="YAML that says what the columns of a CSV file mean.")],
    part: Annotated[Path | None, typer.Option(help="Parquet file that a study planned (rules name it).")] = None,
    json: AsJson = False,
) -> None:
    """Make rows of a table that others published, and say what is in it. A study names it under `published`.

    Example: kbit import data/published/autoround.yaml
    """
    from kbit.cli.importing import import_table

    import_table(description, part, as_json=json)


@verb()
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


@verb()
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


@verb()
def query(
    sql: Annotated[str, typer.Argument(help="One statement; tables are cells, scores, points, models, fits, claims.")],
    study: Annotated[str, typer.Option(help="A study, or its name; the only one that has tables if absent.")] = "",
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: AsJson = False,
) -> None:
    """Ask a study's tables in SQL (polars' dialect). Files are only read.

    Example: kbit query "select family, bits, avg(nats_per_byte) from points group by family, bits order by 1, 2"
    """
    from kbit.cli.query import query as ask

    ask(sql, study, as_csv=csv, as_json=json)


@verb()
def export(
    model: Annotated[str, typer.Argument(help="Name of a model in the data sheet, or a folder that holds one.")],
    spec: Annotated[str, typer.Argument(help="Quantization spec as reports name it, such as int4-b64.")],
    folder: Annotated[Path, typer.Argument(help="New folder to write the packed model to.")],
    data_sheet: Annotated[Path, typer.Option("--models", help="Data sheet of models.")] = Path("config/models.yaml"),
    dtype: Annotated[
        str | None, typer.Option(help="float16 or bfloat16, of what is not quantized; the checkpoint's own if absent.")
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Write a model with packed weights: its file takes the bits that reports count. See docs/packed-models.md.

    Example: kbit export tiny-neox-160x4 int4-b64 packed/neox-int4
    """
    from kbit.cli.export import export as write

    write(model, spec, folder, data_sheet, dtype, trust_remote_code)
