"""The paper's grid, every cell of it evaluated through a real Slurm on this machine: what the machinery itself costs.

    python bench/full_grid.py                                   (under 90 minutes on two idle cores)
    python bench/full_grid.py --fraction 0.05 --keep ../grid     (tries the bench on two models)

The grid of config/paper.yaml over 34 models, its 33 and OPT-175B, on five tasks of four items. Each model is a copy of
the smallest embedded one with seeded noise of 1e-3 on its weights; its cells are cut into slices as those of the real
model of that name are, because the cut is a function of the number of parameters that the data sheet states. The
cluster is that of tests/slurm, the place is profiles/slurm with account and partition set, no GPU, and memory and
minutes that these small models need; a node runs one job at a time, and nodes beyond `--at-once` are drained. All of it
happens in a clone of HEAD in a scratch folder. `--keep` names the folder and keeps it: a second call with it goes on,
and its figures say that they are of the rest, unless all cells were evaluated in one run, whose figures it takes over.

Models of one size decide no law and no verdict, so fits take less time here than on a real study of as many rows, which
bench/study_of_35000.py measures.

CPU time is that of all processes, waited for when the cluster is down: head, jobs, Slurm's daemons and their database.
A full run writes results/full_grid.json and its lines into README.md. Exit code 1 if a cell is lost, or evaluated
twice, or a target missed.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parents[1] / "tests" / "slurm")]

from full_grid_figures import (
    cell_seconds,
    cells_of_shards,
    count_cells,
    cpu_line,
    job_figures,
    planned,
    row_events,
    sizes,
)
from full_grid_head import FirstSubmission, HeadMemory, Job, Run, accounted_jobs, run_timed
from full_grid_lines import verdict, write_readme
from full_grid_study import ADDED, PROFILE, STUDY, Scratch, paper_models, share_of
from lab import running_lab
from lab_files import ACCOUNT, MEMORY_PER_NODE_MB, NODES, PARTITION
from measure import children_seconds, machine, versions, write_result

PACKAGES = ("snakemake", "snakemake-executor-plugin-slurm", "torch", "polars")
PROGRESS_SECONDS = 60
LOOK_SECONDS = 1
AFTER = ("build-tables", "fit", "report")
"""What runs on the head once all cells are there."""


def main() -> int:
    arguments = parse_arguments()
    with scratch_folder(arguments.keep) as folder:
        figures = measure(folder, share_of(paper_models(), arguments.fraction), arguments.at_once)
    figures |= {"fraction": arguments.fraction, "at_once": arguments.at_once}
    lines, is_good = verdict(figures)
    print("\n".join(lines))
    if arguments.fraction == 1 and not figures["resumed"]:
        print(write_result("full_grid", figures))
        write_readme(lines)
    return 0 if is_good else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], epilog="Needs root and Slurm, as make test-slurm does."
    )
    parser.add_argument("--fraction", type=float, default=1, help="of the 34 models, for a trial")
    parser.add_argument("--keep", type=Path, help="scratch folder to keep, and to go on in")
    parser.add_argument("--at-once", type=int, choices=range(1, len(NODES) + 1), default=3, help="jobs at a time")
    return parser.parse_args()


@contextmanager
def scratch_folder(keep: Path | None) -> Iterator[Path]:
    """The clone's folder; one that nobody named is removed, unless the bench fails."""
    if keep is not None:
        yield keep.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="kbit-grid-"))
    print(f"scratch folder {folder}", flush=True)
    yield folder / "clone"
    shutil.rmtree(folder)


def measure(folder: Path, models: list[dict], at_once: int) -> dict[str, object]:
    """All figures of one run of the bench; those of a whole study that an earlier call noted down are taken over."""
    scratch = Scratch(folder)
    if not folder.exists():
        scratch.create()
    resumed = any(folder.glob("results/journal/*/*.jsonl"))
    scratch.write_study(models)
    scratch.set_place(ACCOUNT, PARTITION, MEMORY_PER_NODE_MB)
    first_plan = run_kbit(scratch, "plan", str(STUDY), "--profile", str(PROFILE))
    cells, n_shards = planned(scratch)
    print(f"{len(models)} models, {len(cells):,} cells, {n_shards} jobs; resumed: {resumed}", flush=True)
    found = noted_down(scratch, len(cells)) or evaluate(scratch, cells, n_shards, at_once, resumed)
    found |= {"models": len(models), "shards": n_shards}
    note_down(scratch, found)
    found |= measure_finished(scratch, first_plan)
    return found | measure_added(scratch, models, at_once)


def evaluate(scratch: Scratch, cells: list, n_shards: int, at_once: int, resumed: bool) -> dict[str, object]:
    """The whole study through Slurm."""
    started = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    memory = HeadMemory()
    total, jobs, whole = on_cluster(scratch, at_once, Watch(scratch, n_shards, memory).poll)
    n_rows, statuses, seconds = cell_seconds(scratch.root)
    return {
        "machine": machine(),
        "started": started,
        "versions": versions(*PACKAGES),
        "resumed": resumed,
        "cells": count_cells(cells, *row_events(scratch.root)) | {"table_rows": n_rows, **statuses},
        "whole_minutes": round(whole.wall_seconds / 60, 2),
        "cpu_seconds": round(total, 1),
        "head_cpu_seconds": round(whole.cpu_seconds, 1),
        "head_mb": round(memory.peak / 1e6),
        "head_mb_of_each": [round(peak / 1e6) for peak in memory.peaks.values()],
        **job_figures(jobs, seconds),
        **cpu_line(jobs, cells_of_shards(scratch.root)),
        "sizes": sizes(scratch.root),
    }


def noted_down(scratch: Scratch, n_cells: int) -> dict[str, object] | None:
    """Figures of all cells of this study, evaluated in one run; None if there are none."""
    file = notes(scratch)
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    counts = found.get("cells", {})
    is_whole = not found.get("resumed", True) and counts.get("once") == counts.get("planned") == n_cells
    return found if is_whole else None


def note_down(scratch: Scratch, figures: Mapping) -> None:
    """Keep what is known so far beside the clone: what comes next may fail."""
    notes(scratch).write_text(json.dumps(figures, indent=1), encoding="utf-8")


def notes(scratch: Scratch) -> Path:
    return scratch.root.with_name(f"{scratch.root.name}.json")


def on_cluster(scratch: Scratch, at_once: int, poll) -> tuple[float, list[Job], Run]:
    """Run the study on a cluster of its own: CPU-seconds of everything, its jobs, and the head."""
    before = children_seconds()
    with running_lab() as lab:
        for node in NODES[at_once:]:
            lab.call("scontrol", "update", f"nodename={node}", "state=drain", "reason=bench")
        head = run_kbit(scratch, "run", str(STUDY), "--profile", str(PROFILE), poll=poll)
        # Accounting hears of a job's end a moment later than the head.
        lab.wait_for(lambda: all(job.end for job in accounted_jobs()), 60)
        jobs = accounted_jobs()
    return children_seconds() - before, jobs, head


class Watch:
    """Looks after the head while it runs: its memory, and a line of progress now and then."""

    def __init__(self, scratch: Scratch, n_shards: int, memory: HeadMemory) -> None:
        self.scratch = scratch
        self.n_shards = n_shards
        self.memory = memory
        self.began = self.told = self.looked = time.monotonic()

    def poll(self, head: int) -> None:
        now = time.monotonic()
        if now - self.looked < LOOK_SECONDS:
            return
        self.looked = now
        self.memory.poll(head)
        if now - self.told >= PROGRESS_SECONDS:
            self.told = now
            parts = len(list(self.scratch.root.glob("results/parts/*/*.parquet")))
            said = last_line(output_of(self.scratch))
            print(f"{(now - self.began) / 60:.0f} min: {parts}/{self.n_shards} jobs, {said}", flush=True)


def measure_finished(scratch: Scratch, first_plan: Run) -> dict[str, object]:
    """What is asked of a study that is there in full: its plan, a dry run, its tables, fits and report made again."""
    second_plan = run_kbit(scratch, "plan", str(STUDY), "--profile", str(PROFILE))
    snakemake = [sys.executable, "-m", "snakemake", "--profile", str(PROFILE), "--config", f"study={STUDY}", "-n"]
    dry_run = run(scratch, snakemake)
    if "Nothing to be done" not in output_of(scratch).read_text():
        sys.exit(f"a finished study is not up to date: {output_of(scratch)}")
    # After the dry run: Snakemake's benchmark files are as old as what it made itself, so it would make these again.
    after = {verb: run_kbit(scratch, verb, str(STUDY)) for verb in AFTER}
    return {
        "plan_seconds": round(max(first_plan.wall_seconds, second_plan.wall_seconds), 2),
        "dry_run_cpu_seconds": round(dry_run.cpu_seconds, 2),
        "after": {verb: {key: round(value, 2) for key, value in asdict(run).items()} for verb, run in after.items()},
        "after_seconds": round(sum(run.wall_seconds for run in after.values()), 2),
    }


def measure_added(scratch: Scratch, models: list[dict], at_once: int) -> dict[str, object]:
    """One model more: when its first job is submitted, and that nothing else is evaluated again."""
    before, _ = row_events(scratch.root)
    scratch.write_study([*models, ADDED])
    first = FirstSubmission(scratch.root / "results/studies" / STUDY.stem / "logs")
    _, jobs, _ = on_cluster(scratch, at_once, first.poll)
    cells, _ = planned(scratch)
    counts = count_cells(cells, *row_events(scratch.root))
    if first.cpu_seconds is None:
        sys.exit(f"no job was submitted for the model that was added: {output_of(scratch)}")
    return {
        "added_model_cpu_seconds": round(first.cpu_seconds, 2),
        "added_model": counts | {"jobs": len(jobs), "new": len(cells) - len(before)},
    }


def run_kbit(scratch: Scratch, *arguments: str, poll=None) -> Run:
    return run(scratch, scratch.kbit(*arguments), poll)


def run(scratch: Scratch, command: list[str], poll=None) -> Run:
    """Run a command in the clone; ends the bench with its last words if it fails."""
    output = output_of(scratch)
    output.unlink(missing_ok=True)
    done = run_timed(command, scratch.root, scratch.environment, output, poll)
    if done.code != 0:
        words = "\n".join(output.read_text(errors="replace").splitlines()[-20:])
        sys.exit(f"{' '.join(command)} ended with {done.code}; all of it in {output}\n{words}")
    return done


def output_of(scratch: Scratch) -> Path:
    return scratch.root.with_name(f"{scratch.root.name}.log")


def last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines()
    return lines[-1] if lines else ""


if __name__ == "__main__":
    sys.exit(main())
