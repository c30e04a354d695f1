"""`snakemake --lint`, failing on every finding but one: that a rule names no conda environment or container.

The study's one environment is requirements.lock, so that finding is answered for the whole workflow. Snakemake's
command line (9.27) can leave no finding out and its JSON form breaks on findings of a Snakefile, so the text is read.

    python tests/lint_workflow.py [SNAKEFILE]
"""

import os
import subprocess
import sys
from collections.abc import Iterator

ANSWERED = "Specify a conda environment or container for each rule.:"
HEADING, FINDING, EXPLANATION = "Lints for ", "    * ", "      "
CLEAN = "Congratulations, your workflow is in a good condition!"


def standing(report: str) -> Iterator[str]:
    """The findings that are not answered, each after its place; and every line that is none of the linter's."""
    place = ""
    for line in report.splitlines():
        if line.startswith(HEADING):
            place = line.removeprefix(HEADING)
        elif line.startswith(FINDING):
            if line.removeprefix(FINDING) != ANSWERED:
                yield f"{place} {line.removeprefix(FINDING)}"
        elif line.strip() and line != CLEAN and not line.startswith(EXPLANATION):
            yield line  # a warning, or the last words of a linter that died half-way


def main(arguments: list[str]) -> int:
    snakefile = arguments[0] if arguments else "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--lint"]
    environment = os.environ | {"COLUMNS": "120"}  # the text is wrapped to the terminal
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = list(standing(result.stderr))
    if result.returncode and ANSWERED not in result.stderr and not lines:
        lines = [f"snakemake --lint ended with {result.returncode} and said nothing"]
    print("\n".join(lines), file=sys.stderr, end="\n" * bool(lines))
    print(f"{snakefile}: {len(lines)} finding{'s' * (len(lines) != 1)} of snakemake --lint stand")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
