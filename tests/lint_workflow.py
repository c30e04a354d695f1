"""`snakemake --lint`, failing on every finding but one: that a rule names no conda environment or container.

The study's one environment is requirements.lock, so that finding is answered for the whole workflow. Snakemake's
command line (9.27) cannot leave a finding out and prints text even for `--lint json`, hence its Python interface.

    python tests/lint_workflow.py [SNAKEFILE]
"""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.types import OutputSettings, ResourceSettings

ANSWERED = "Specify a conda environment or container for each rule."


def report_of(snakefile: Path) -> dict:
    """What the linter prints: findings by Snakefile and by rule. A Snakefile that does not parse raises."""
    printed = io.StringIO()
    with redirect_stdout(printed), SnakemakeApi(OutputSettings(verbose=False)) as api:
        workflow = api.workflow(resource_settings=ResourceSettings(cores=1), snakefile=snakefile)
        workflow.lint(json=True)
    text = printed.getvalue()
    return json.loads(text[text.index('{\n  "snakefiles"') :])  # after whatever the Snakefile itself printed


def findings(report: dict) -> Iterator[str]:
    """One line per finding that stands."""
    for item in [*report["snakefiles"], *report["rules"]]:
        for lint in item["lints"]:
            if lint["title"] != ANSWERED:
                yield f"{describe(item['for'])}: {lint['title']}"


def describe(place: dict) -> str:
    """`Snakefile`, or `Snakefile:12: rule all`."""
    if "rule" not in place:
        return str(place["snakefile"])
    return f"{place['snakefile']}:{place['line']}: rule {place['rule']}"


def main(arguments: list[str]) -> int:
    snakefile = Path(arguments[0] if arguments else "Snakefile")
    standing = list(findings(report_of(snakefile)))
    for line in standing:
        print(line, file=sys.stderr)
    print(f"{snakefile}: {len(standing)} finding{'s' * (len(standing) != 1)} of snakemake --lint")
    return int(bool(standing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
