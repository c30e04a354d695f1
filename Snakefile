"""The study pipeline: requests -> parts -> tables -> fits -> report.

The study is checked and planned before any rule is read (about a second, no torch, no checkpoint); from
there on it is frozen. `snakemake --config study=config/tiny.yaml --profile profiles/local` does the same as
`kbit run config/tiny.yaml`. Other keys of `config` describe the place, see kbit/spec/hardware.py; a profile states them.

A job on a cluster reads this file again, twice: it takes only the rules of jobs, and what they need from files that
the planning wrote. So it starts quickly, and whoever edits the study breaks no job that is queued.
"""

import shlex
import sys
from pathlib import Path

from kbit.spec.errors import UserError
from kbit.spec.hardware import hardware_of
from kbit.store.paths import claims_path, fits_path, report_path, tables_folder

IS_JOB = workflow.remote_exec

try:
    if IS_JOB:
        from kbit.plan.submitted import SubmittedJobs

        JOBS = SubmittedJobs(hardware_of(config))
    else:
        from kbit.plan.jobs import PlannedJobs
        from kbit.plan.plan import plan_study, write_inputs

        STUDY_FILE = config.get("study", "config/tiny.yaml")
        PLAN = plan_study(Path(STUDY_FILE))
        JOBS = PlannedJobs(PLAN, hardware_of(config))
        write_inputs(PLAN)
        STUDY = PLAN.study.name
        PARTS = [str(part) for part in PLAN.parts]
        OUTLIERS = [str(job.output) for job in PLAN.outliers]
except UserError as error:
    sys.exit(f"kbit: {error}")

# Never from a study: whoever types it trusts the code of every model of the study.
TRUST = "--trust-remote-code" if str(config.get("trust_remote_code")).lower() == "true" else ""
# Jobs call the kbit of the environment that runs Snakemake, activated or not.
shell.prefix(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"; ')


# What `--report` says of the workflow; which files it takes in, their rules say.
report: "workflow/report/workflow.rst"


wildcard_constraints:
    model=r"[a-z0-9.-]+",
    slice=r"[a-z0-9._-]+",
    key=r"[0-9a-f]{12}",
    task=r"[a-z0-9_-]+",
    digest=r"[0-9a-f]{12}",
    publication=r"[a-z0-9-]+",


localrules:
    all,
    fetch_model,
    fetch_task,
    import_published,
    tables,
    fit,
    report,


if not IS_JOB:

    # Every part is a target of its own: a report that exists would hide parts that are missing.
    rule all:
        input:
            PARTS,
            OUTLIERS,
            PLAN.stamp,
            report_path(STUDY),

    include: "workflow/rules/fetch.smk"
    include: "workflow/rules/published.smk"
    include: "workflow/rules/tables.smk"
    include: "workflow/rules/fits.smk"
    include: "workflow/rules/report.smk"


include: "workflow/rules/requests.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/outliers.smk"
# Not part of any study: makes the committed models and tasks anew.
include: "workflow/rules/retrain.smk"
