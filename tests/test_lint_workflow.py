"""The one finding of `snakemake --lint` that is let through hides no other."""

import subprocess
import sys
from pathlib import Path

import pytest

LINT = Path(__file__).with_name("lint_workflow.py")
CLEAN_RULE = """
rule make_a:
    output:
        "a.txt",
    log:
        "a.log",
    shell:
        "echo a > {output} 2> {log}"
"""


def lint(folder: Path, snakefile: str) -> subprocess.CompletedProcess[str]:
    (folder / "Snakefile").write_text(snakefile)
    return subprocess.run([sys.executable, str(LINT)], cwd=folder, capture_output=True, text=True, check=False)


def test_missing_environment_is_let_through(tmp_path):
    result = lint(tmp_path, "print({'snakefiles': 1})\n" + CLEAN_RULE)
    assert result.returncode == 0, result.stderr
    assert "0 findings" in result.stdout


@pytest.mark.parametrize(
    ("snakefile", "finding"),
    [
        (CLEAN_RULE.replace('    log:\n        "a.log",\n', ""), "No log directive defined"),
        ('CORPUS = "/data/corpus/train.txt"\n' + CLEAN_RULE, "Absolute path"),
    ],
    ids=["of a rule", "of the Snakefile"],
)
def test_other_findings_fail(tmp_path, snakefile, finding):
    result = lint(tmp_path, snakefile)
    assert result.returncode == 1
    assert finding in result.stderr


def test_broken_snakefile_fails(tmp_path):
    result = lint(tmp_path, "rule (")
    assert result.returncode == 1
    assert "SyntaxError" in result.stderr
