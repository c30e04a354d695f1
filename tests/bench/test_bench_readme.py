"""The benches' README tells of every bench, and quotes the figures that were measured last."""

import json
import re
from pathlib import Path

from evaluate_vs_lm_eval import verdict

BENCH = Path(__file__).parents[2] / "bench"
README = (BENCH / "README.md").read_text()


def test_every_bench_has_a_paragraph():
    # A bench can be called; its other modules are imported by it.
    called = {
        file.stem
        for file in BENCH.glob("*.py")
        if re.search(r"^    python bench/|&& python bench/", file.read_text(), re.M)
    }
    assert called == set(re.findall(r"^## (\w+):", README, re.MULTILINE))
    of_gpus = {file.stem for file in (BENCH / "results").glob("nvidia-*.json")}  # of kernels_gpu
    assert called >= {file.stem for file in (BENCH / "results").glob("*.json")} - of_gpus


def test_quoted_ratios_are_those_of_the_last_run():
    lines, _ = verdict(json.loads((BENCH / "results/evaluate_vs_lm_eval.json").read_text()))
    assert len(lines) == 6
    assert "\n".join(lines) in README
