"""The newcomer's commands, each in a copy of the Makefile beside a made-up environment: nothing is installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kbit.store.head import hold_results

MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"
VARIABLES = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE.read_text(), re.MULTILINE))
OUTER_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", *VARIABLES}
"""The tests may themselves run under make, as on CI: its flags and variables must not reach the inner one."""
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make on the PATH")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "requirements.lock").write_text("torch==2.13.0\n")
    for study in ("config/tiny.yaml", "config/paper.yaml", "elsewhere/mine.yaml"):
        (tmp_path / study).parent.mkdir(exist_ok=True)
        (tmp_path / study).touch()
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in OUTER_MAKE}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def write_program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def make_environment(clone: Path) -> None:
    """A `.venv` made from the lock, whose kbit prints its arguments."""
    write_program(clone / ".venv/bin/kbit", 'echo "kbit $*"')
    shutil.copy(clone / "requirements.lock", clone / ".venv")


def test_old_python_gets_one_line(clone):
    old = write_program(clone / "python3.9", '[ "$1" = --version ] && echo "Python 3.9.6"; [ "$1" = -c ] && echo')
    result = make(clone, "study", f"PYTHON={old}")
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "kbit needs Python 3.11 or newer" in result.stderr
    assert "is Python 3.9.6" in result.stderr
    assert "make study PYTHON=python3.12" in result.stderr
    assert not (clone / ".venv").exists()


def test_absent_python_gets_one_line(clone):
    result = make(clone, "study", "PYTHON=python3.99")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "kbit needs Python 3.11 or newer" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        ([], "config/tiny.yaml --profile profiles/local"),
        (["PROFILE=slurm", "STUDY=config/paper.yaml"], "config/paper.yaml --profile profiles/slurm"),
        (["STUDY=paper", "ARGS=-n --until tables"], "config/paper.yaml --profile profiles/local -n --until tables"),
        (["STUDY=paper.yaml"], "config/paper.yaml --profile profiles/local"),
        (["STUDY=elsewhere/mine.yaml", "PROFILE=my/site"], "elsewhere/mine.yaml --profile my/site"),
    ],
    ids=["default", "by its file", "by its name", "by its file's name", "elsewhere"],
)
def test_study_calls_kbit_run(clone, arguments, called):
    make_environment(clone)
    result = make(clone, "study", "PYTHON=false", *arguments)  # `false` could make no environment
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"kbit run {called}\n"


@pytest.mark.parametrize("study", ["config/nope.yaml", "nope", "requirements.lock", ""])
def test_a_study_that_is_not_there_gets_one_line(clone, study):
    result = make(clone, "study", f"STUDY={study}")
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert f"STUDY={study} is neither a YAML file nor the name of one in config/" in result.stderr
    assert make(clone, "help", f"STUDY={study}").returncode == 0


def test_touched_lock_rebuilds_nothing(clone):
    make_environment(clone)
    os.utime(clone / ".venv/requirements.lock", (1, 1))
    result = make(clone, "study", "PYTHON=false")  # `false` could make no environment
    assert result.returncode == 0, result.stderr
    assert (clone / ".venv/bin/kbit").exists()


def test_changed_lock_rebuilds_the_environment(clone):
    make_environment(clone)
    os.utime(clone / ".venv/requirements.lock", (1, 1))
    (clone / "requirements.lock").write_text("torch==2.14.0\n")
    log = clone / "python.log"
    python = write_program(clone / "python", f'echo "$*" >> {log}; [ "$1" = -c ] && echo yes; [ "$2" != venv ]')
    assert make(clone, "study", f"PYTHON={python}").returncode == 2  # this Python fails to make it
    assert log.read_text().splitlines()[-1] == "-m venv --clear .venv"


def test_clean_keeps_the_environment_and_the_inputs(clone):
    make_environment(clone)
    kept = ["data/models/config.json", "reports/README.md", ".venv/bin/kbit"]
    removed = ["results/journal/row.jsonl", "reports/tiny/index.html", "logs/a.log", ".snakemake/locks/0.lock"]
    for name in kept[:2] + removed:
        write_program(clone / name, "")
    assert make(clone, "clean", "CONFIRM=yes").returncode == 0
    assert all((clone / name).exists() for name in kept)
    assert not [name for name in removed if (clone / name).exists()]


def test_help_lists_every_target(clone):
    targets = re.search(r"^\.PHONY: (study .*)$", MAKEFILE.read_text(), re.MULTILINE)[1].split()
    listed = re.findall(r"^  make (\S+) +\S", make(clone, "help").stdout, re.MULTILINE)
    assert sorted(listed) == sorted(targets)
    assert make(clone).stdout == make(clone, "help").stdout


@pytest.fixture
def used_clone(clone):
    for file in ("results/journal/m/all.jsonl", "reports/tiny/index.html", "reports/README.md", ".venv/kept"):
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        (clone / file).touch()
    return clone


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_clean_lists_and_deletes_when_told(used_clone):
    before = files(used_clone)
    listed = make(used_clone, "clean")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[-1] for line in listed.stdout.splitlines()[:2]] == ["results", "reports/tiny"]
    assert "'make clean CONFIRM=yes' does it" in listed.stdout
    assert files(used_clone) == before
    assert make(used_clone, "clean", "CONFIRM=yes").returncode == 0
    assert before - files(used_clone) == {"results/journal/m/all.jsonl", "reports/tiny/index.html"}
    assert make(used_clone, "clean", "CONFIRM=yes").stdout == "Nothing to clean\n"


def test_clean_is_refused_while_a_run_is_at_work(used_clone, monkeypatch):
    before = files(used_clone)
    monkeypatch.chdir(used_clone)
    with hold_results():
        refused = make(used_clone, "clean", "CONFIRM=yes", f"PYTHON={sys.executable}")
    assert refused.returncode == 2
    assert f"results/ is in use: kbit run, process {os.getpid()} on " in refused.stderr
    assert files(used_clone) - {"results/.kbit-run.lock"} == before
