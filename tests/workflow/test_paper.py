"""The whole paper study is planned without torch, lm-eval or data frames, by kbit and by Snakemake."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUDY = str(ROOT / "config/paper.yaml")
HEAVY = {"torch", "transformers", "lm_eval", "datasets", "polars", "pyarrow"}
COMMANDS = {
    "kbit plan": ["kbit.cli", "plan", "--json", STUDY],
    "snakemake -n": [
        *["snakemake", "-n", "--quiet", "all", "--snakefile", str(ROOT / "Snakefile")],
        *["--profile", str(ROOT / "profiles/slurm"), "--config", f"study={STUDY}", "--until", "tables"],
    ],
}


def run_counting_imports(command, folder):
    """The process that ran `python -m command`, and the modules that it imported."""
    program = [sys.executable, "-X", "importtime", "-m", *command]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done, {line.rsplit("|", 1)[1].strip() for line in lines}


@pytest.mark.parametrize("name", COMMANDS)
def test_planning_the_paper_imports_nothing_heavy(name, tmp_path):
    done, imported = run_counting_imports(COMMANDS[name], tmp_path)
    # Snakemake loads every plugin that is installed, whatever it does; the one for Slurm brings pandas.
    _, by_itself = run_counting_imports([COMMANDS[name][0], "--version"], tmp_path)
    assert "kbit.plan.plan" in imported
    assert not HEAVY & (imported - by_itself)
    # 33 models; the count of cells is worked out by hand in tests/spec.
    assert re.search(r'"cells": 37970|evaluate +691\ntables +1\n', done.stdout + done.stderr)
    assert not re.search(r"^(fit|report|all) +1$", done.stdout + done.stderr, re.MULTILINE)
