"""What tables, fits and report of the paper's whole study cost: every cell of config/paper.yaml, with invented scores.

    python bench/study_of_35000.py                             (4 and 500 items a task, some five minutes)
    python bench/study_of_35000.py --items 4 --keep FOLDER     (the study's folder stays, and is used again)

Parts and requests files are written under the plan's own names by the real writers, then each verb runs as its rule
calls it, in a process of its own: wall and CPU seconds and the peak of resident memory. Writes
bench/results/study_of_35000.json.
"""

import argparse
import json
import os
import shutil
import sys
import time
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from invented_parts import write_study
from measure import machine, versions, write_result

from kbit.plan.plan import Plan, plan_study
from kbit.store.paths import fits_path, report_path, tables_folder

ROOT = Path(__file__).resolve().parents[1]
STUDY = Path("config/paper.yaml")
VERBS = {"build-tables": 1, "fit": 2, "report": 1}
"""With the threads that their rules ask for."""
TARGET_SECONDS = 60
"""Of wall time, all verbs together, on two idle cores."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[4, 500], help="items of every task")
    parser.add_argument("--keep", type=Path, help="folder for the studies, used again where it exists")
    every = list(VERBS)
    parser.add_argument("--verbs", nargs="+", choices=every, default=every, help="these alone; nothing is kept")
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        studies = [measure_study(folder / f"{items}-items", items, options.verbs) for items in options.items]
    if options.verbs == every:
        packages = versions("numpy", "scipy", "statsmodels", "polars", "pyarrow")
        write_result("study_of_35000", {"machine": machine(), "versions": packages, "studies": studies})


def measure_study(folder: Path, items: int, verbs: list[str]) -> dict[str, object]:
    """Figures of one study, in a folder of its own."""
    if not (folder / STUDY).is_file():
        write_config(folder, items)
    with chdir(folder):
        plan = plan_study(STUDY)
        if not all(shard.part.is_file() for shard in plan.shards):
            write_study(plan)
        stages = {verb: run_verb(verb) for verb in verbs}
        result = {"items": items, "cells": len(plan.cells), "parts": len(plan.shards), "stages": stages}
        result |= {"seconds": round(sum(stage["wall_seconds"] for stage in stages.values()), 1)}
        result |= {"megabytes": sizes(plan)}
    print(json.dumps(result, indent=1))
    print(f"wall_seconds={result['seconds']} ({items} items a task, target {TARGET_SECONDS})", flush=True)
    return result


def write_config(folder: Path, items: int) -> None:
    """The paper's study with another limit of items."""
    (folder / "config").mkdir(parents=True)
    (folder / "data").symlink_to(ROOT / "data")
    for name in ("models.yaml", "tasks.yaml"):
        shutil.copy(ROOT / "config" / name, folder / "config")
    study = yaml.safe_load((ROOT / STUDY).read_text(encoding="utf-8"))
    study["tasks"] = [task if isinstance(task, str) else task["name"] for task in study["tasks"]]
    study["item_limit"] = items
    (folder / STUDY).write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")


def run_verb(verb: str) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of a verb; ends the bench if it fails."""
    command = [sys.executable, "-m", "kbit.cli", verb, str(STUDY)]
    command += ["--threads", str(VERBS[verb])] if VERBS[verb] > 1 else []
    # As in the rules: a process computes on one thread.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    process = os.posix_spawn(sys.executable, command, environment)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - start
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(command)} ended with {code}")
    return {
        "wall_seconds": round(wall, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def sizes(plan: Plan) -> dict[str, float]:
    """Megabytes of what the verbs read and wrote."""
    name = plan.study.name
    found = {
        "parts": [shard.part for shard in plan.shards],
        "tables": list(tables_folder(name).glob("*.parquet")),
        "fits": [fits_path(name)],
        "report": [report_path(name)],
    }
    return {
        kind: round(sum(path.stat().st_size for path in paths if path.is_file()) / 1e6, 2)
        for kind, paths in found.items()
    }


if __name__ == "__main__":
    main()
