"""Every rule that runs something leaves a log and a benchmark, and neither ever makes anything run again."""

import re
import shutil
from pathlib import Path

import pytest

RULES = Path(__file__).parents[2] / "workflow/rules"
RULE = re.compile(r"^ *rule (\w+):\n((?: .*\n|\n)+)", re.MULTILINE)
SHELLS = {
    name: body
    for file in sorted(RULES.glob("*.smk"))
    for name, body in RULE.findall(file.read_text())
    if "shell:" in body
}


def path_of(directive: str, body: str) -> str:
    """The one path of a directive, as written, without quotes."""
    found = re.search(rf'^ +{directive}:\n +f?"([^"]+)",?\n', body, re.MULTILINE)
    assert found, f"no {directive}"
    return found[1]


@pytest.mark.parametrize("name", SHELLS)
def test_a_rule_has_a_log_and_a_benchmark_of_the_same_name(name):
    log, benchmark = path_of("log", SHELLS[name]), path_of("benchmark", SHELLS[name])
    assert log.startswith(f"results/logs/{name}")
    assert benchmark == log.replace("results/logs/", "results/benchmarks/").replace(".log", ".tsv")


def test_all_rules_are_looked_at():
    """The expression above misses none."""
    assert len(SHELLS) == sum(file.read_text().count("shell:") for file in RULES.glob("*.smk")) > 8


def test_every_job_of_a_study_left_a_log_and_a_benchmark(finished):
    def stems(kind: str) -> set[str]:
        return {
            str(path.relative_to(finished.root / "results" / kind).with_suffix(""))
            for path in (finished.root / "results" / kind).rglob("*.*")
        }

    parts = {f"evaluate/{part.parent.name}/{part.stem}" for part in finished.parts()}
    assert len(parts) == 2
    assert parts | {"tables/small", "fit/small", "report/small"} <= stems("benchmarks")
    assert stems("benchmarks") == stems("logs")
    header, values = next(finished.root.glob("results/benchmarks/evaluate/*/*.tsv")).read_text().splitlines()
    figures = dict(zip(header.split("\t"), values.split("\t"), strict=True))
    # A model was loaded, and computed.
    assert float(figures["cpu_time"]) > 1
    assert float(figures["max_rss"]) > 100


def test_a_folder_without_benchmarks_has_nothing_to_do(workspace):
    """As one that a release wrote which measured none."""
    shutil.rmtree(workspace.root / "results/benchmarks")
    assert workspace.dry_run() == {}
