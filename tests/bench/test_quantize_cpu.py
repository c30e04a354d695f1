"""The README quotes the last run of bench/quantize_cpu.py, and a ratio below its target is a miss."""

import copy
import json
from pathlib import Path

from quantize_cpu import CLOSED_TARGET, DTYPES, THREADS, WEIGHTS, cases, verdict

BENCH = Path(__file__).parents[2] / "bench"
RESULT = json.loads((BENCH / "results/quantize_cpu.json").read_text())


def test_the_quoted_lines_are_those_of_the_last_run():
    lines, misses = verdict(RESULT["rows"])
    assert len(lines) == len(DTYPES) * len(THREADS)
    assert "\n".join([*lines, *misses]) in (BENCH / "README.md").read_text()


def test_the_last_run_was_of_every_data_type_and_of_all_weights():
    assert RESULT["weights"] > 0.99 * WEIGHTS  # whole rows
    ran = {(row["dtype"], row["threads"], row["spec"]) for row in RESULT["rows"]}
    assert ran == {(dtype, threads, spec.slug) for dtype in DTYPES for threads in THREADS for spec in cases()}


def test_a_ratio_below_its_target_is_a_miss():
    rows = copy.deepcopy(RESULT["rows"])
    row = next(row for row in rows if row["data_type"] == "int")
    row["ratio"] = CLOSED_TARGET - 0.01
    assert f"missed: {row['dtype']}, {row['threads']} threads, {row['spec']}: 4.99 < 5.0" in verdict(rows)[1]
