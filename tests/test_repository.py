"""What the repository promises about itself: sizes, names, the lock, versions, and what planning may import."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import kbit

ROOT = Path(__file__).resolve().parents[1]
GENERATED = {"build", "dist", "logs", "reports", "results"}
SOURCE_FOLDERS = ("bench", "config", "data", "docs", "kbit", "tests", "workflow")
MAX_LINES = {".py": 299, ".smk": 149}
MAX_SNAKEFILE_LINES = 99
MAX_FUNCTION_LINES = 60
ATTICS = {"utils.py", "util.py", "helpers.py", "helpers", "common.py", "common.smk", "misc.py", "scripts"}
HEAVY = {
    *("torch", "transformers", "tokenizers", "safetensors", "lm_eval", "datasets"),
    *("polars", "pandas", "pyarrow", "scipy", "statsmodels", "altair"),
}


def files(*suffixes: str) -> list[Path]:
    """The sources with one of these suffixes, sorted."""
    found = (path for folder in SOURCE_FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(path for path in found if path.suffix in suffixes and "__pycache__" not in path.parts)


def text_files() -> Iterator[Path]:
    """Every text file that is not generated, dot folders of tools left out."""
    for top in sorted(ROOT.iterdir()):
        if top.name in GENERATED or (top.is_dir() and top.name.startswith(".") and top.name != ".ci"):
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts and b"\0" not in path.read_bytes()[:4096]:
                yield path


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_files_stay_small():
    limits = {path: MAX_LINES[path.suffix] for path in files(*MAX_LINES)} | {ROOT / "Snakefile": MAX_SNAKEFILE_LINES}
    long = [
        f"{relative(path)}: {line_count(path)} > {most}" for path, most in limits.items() if line_count(path) > most
    ]
    assert not long, "\n".join(long)


def test_functions_stay_small():
    long = []
    for path in files(".py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long.append(f"{relative(path)}:{node.lineno}: {node.name} has {lines} lines")
    assert not long, "\n".join(long)


def test_there_is_no_attic():
    attics = [relative(path) for folder in SOURCE_FOLDERS for path in (ROOT / folder).rglob("*") if path.name in ATTICS]
    assert not attics


def test_no_file_names_a_place_on_one_machine():
    # Spelt in pieces, so that this file passes its own test.
    places = re.compile(r"(?<![\w.~-])/(?:" + "|".join(["work", "root", "tmp", "home", "Users"]) + r")/[\w.]")
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if places.search(line):
                found.append(f"{relative(path)}:{number}: {line.strip()[:120]}")
    assert not found, "\n".join(found)


IMPORT_WHOLE = """
import importlib, pkgutil
package = importlib.import_module({name!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""


def heavy_modules(code: str) -> set[str]:
    """What of torch and data frames is loaded once a fresh interpreter has run the code."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return HEAVY & set(result.stdout.split())


@pytest.mark.parametrize("package", ["kbit.spec", "kbit.plan"])
def test_planning_is_light(package):
    """Every job on a cluster parses the Snakefile again: nothing behind it brings torch or data frames."""
    assert not heavy_modules(IMPORT_WHOLE.format(name=package))


def test_command_line_is_light():
    """Verbs import what they need when they are called: `kbit --help` answers at once."""
    assert not heavy_modules("import kbit.cli")


def locked() -> dict[str, str]:
    """Canonical name -> version, of every line of the lock that is not a comment."""
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    matches = {line: re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)", line) for line in lines}
    assert all(matches.values()), [line for line, match in matches.items() if not match]
    return {canonicalize_name(match[1]): match[2] for match in matches.values() if match}


def test_lock_is_bare_pins():
    """`name==version` and nothing else: no host, no path, no local version such as a build of torch's own index."""
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|\+cpu|\+cu\d|^-|@ ", text, re.MULTILINE)
    pins = locked()
    assert pins["torch"] == "2.13.0"
    assert not [name for name in pins if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_lock_answers_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(line) for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]]
    pins = locked()
    unmet = [str(need) for need in wanted if not need.specifier.contains(pins.get(canonicalize_name(need.name), "0"))]
    assert not unmet, f"run `make lock`: {', '.join(unmet)}"


def imported_names(folder: str) -> set[str]:
    """Top-level names of all absolute imports below a folder, the standard library left out."""
    names = set()
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"kbit"}


def test_imports_are_declared():
    """Nothing in the package rests on what another dependency happens to bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["cuda"]]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    # Of what need not be installed to test.
    providers = {"cuda": ["cuda-core"]} | packages_distributions()
    undeclared = [
        name
        for name in sorted(imported_names("kbit"))
        if not declared & {canonicalize_name(provider) for provider in providers.get(name, [name])}
    ]
    assert not undeclared


def test_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == kbit.__version__
    assert f"## {kbit.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_changelog_says_which_numbers_change():
    releases = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    assert releases
    assert all("### Numbers that change" in release for release in releases)
