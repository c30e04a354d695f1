"""What a profile's executor needs beside Snakemake, said in one line where it is missing."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from kbit.spec.errors import UserError
from kbit.spec.hardware import read_profile

BUILT_IN = ("local", "dryrun", "touch")


def check_executor(profile: Path, submits: bool) -> None:
    """UserError if the executor that the profile names is not installed, or no cluster is at hand to submit to."""
    _, content = read_profile(profile)
    executor = str(content.get("executor", "local"))
    plugin = f"snakemake-executor-plugin-{executor}"
    if executor not in BUILT_IN and find_spec(plugin.replace("-", "_")) is None:
        extra = " (make installs it; by hand: pip install 'kbit[slurm]')" if executor == "slurm" else ""
        raise UserError(f"executor {executor} of {profile}: its package {plugin} is not installed{extra}")
    if executor == "slurm" and submits and shutil.which("sbatch") is None:
        raise UserError(f"executor slurm of {profile}: no sbatch on the PATH; type this on a node that submits jobs")
