"""What a run of the full-grid bench left behind: which cells were evaluated, how large it is, what a job cost."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
from full_grid_head import Job, submission_rate
from full_grid_study import STUDY, Scratch

from kbit.store.lines import decode_line

CELLS = (
    "import json; from pathlib import Path; from kbit.plan.plan import plan_study; "
    f"plan = plan_study(Path('{STUDY}')); print(json.dumps([[cell.cell_id for cell in plan.cells], len(plan.shards)]))"
)


def planned(scratch: Scratch) -> tuple[list[str], int]:
    """Cell ids and number of shards of the study, as the clone's own code plans it."""
    done = subprocess.run(
        [sys.executable, "-c", CELLS],
        cwd=scratch.root,
        env={**os.environ, **scratch.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    cells, shards = json.loads(done.stdout)
    return cells, shards


def row_events(root: Path) -> tuple[Counter[str], int]:
    """How often each cell was evaluated: rows of any status in all journals; and lines that cannot be read."""
    counts: Counter[str] = Counter()
    bad_lines = 0
    for journal in root.glob("results/journal/*/*.jsonl"):
        with journal.open("rb") as lines:
            for line in lines:
                event = decode_line(line)
                if event is None:
                    bad_lines += 1
                elif event.is_row:
                    counts[event.cell_id] += 1
    return counts, bad_lines


def count_cells(cells: Sequence[str], counts: Mapping[str, int], bad_lines: int) -> dict[str, int]:
    """Of the planned cells: how many there are, and how many have no row, or several."""
    return {
        "planned": len(cells),
        "once": sum(counts.get(cell, 0) == 1 for cell in cells),
        "missing": sum(counts.get(cell, 0) == 0 for cell in cells),
        "twice": sum(counts.get(cell, 0) > 1 for cell in cells),
        "foreign": len(set(counts) - set(cells)),
        "bad_lines": bad_lines,
    }


def cell_seconds(root: Path) -> tuple[int, dict[str, int], float]:
    """Rows of the table cells, their statuses, and the seconds spent on them: quantizing once per spec, and scoring."""
    table = pl.read_parquet(root / f"results/studies/{STUDY.stem}/tables/cells.parquet")
    specs = table.group_by("model_id", "spec").agg(pl.col("quantize_seconds").first())
    seconds = float(table["seconds"].sum()) + float(specs["quantize_seconds"].sum())
    return table.height, dict(table["status"].value_counts().iter_rows()), seconds


def job_figures(jobs: Sequence[Job], seconds_on_cells: float) -> dict[str, object]:
    """Of the jobs that evaluated: what each cost beyond its cells, in wall and CPU seconds, and the submitting."""
    evaluated = [job for job in jobs if job.rule == "evaluate"]
    number = max(1, len(evaluated))
    elapsed, cpu = (sum(getattr(job, name) for job in evaluated) for name in ("seconds", "cpu_seconds"))
    return {
        "jobs": dict(Counter(f"{job.rule} {job.state}" for job in jobs)),
        "all_jobs_cpu_seconds": round(sum(job.cpu_seconds for job in jobs), 1),
        "job_seconds": round(elapsed, 1),
        "job_cpu_seconds": round(cpu, 1),
        "job_seconds_median": median([job.seconds for job in evaluated] or [0]),
        "job_cpu_seconds_median": round(median([job.cpu_seconds for job in evaluated] or [0]), 2),
        "cell_seconds": round(seconds_on_cells, 1),
        "overhead_seconds_per_job": round((elapsed - seconds_on_cells) / number, 2),
        "submissions_per_second": None if (rate := submission_rate(jobs)) is None else round(rate, 2),
        "jobs_seconds_first_to_last": max((job.end for job in jobs), default=0)
        - min((job.start for job in jobs if job.start), default=0),
    }


def cells_of_shards(root: Path) -> dict[str, int]:
    """Number of cells by the key of the shard."""
    files = root.glob("results/shards/*/*.json")
    return {file.stem[-12:]: len(json.loads(file.read_text(encoding="utf-8"))["cells"]) for file in files}


def cpu_line(jobs: Sequence[Job], cells: Mapping[str, int]) -> dict[str, float | None]:
    """CPU-seconds of a job as a line over its number of cells, by least squares: where it begins, and its slope.

    Cells time themselves by the clock, which runs on while others have the core. None where all jobs are of one size.
    """
    points = [(cells[job.key], job.cpu_seconds) for job in jobs if job.rule == "evaluate"]
    if len({size for size, _ in points}) < 2:
        return {"overhead_cpu_seconds_per_job": None, "cpu_seconds_per_cell": None}
    slope, start = np.polyfit(*zip(*points, strict=True), 1)
    return {"overhead_cpu_seconds_per_job": round(float(start), 2), "cpu_seconds_per_cell": round(float(slope), 4)}


def sizes(root: Path) -> dict[str, dict[str, int]]:
    """Files, bytes and bytes of disk blocks by kind: the folders of results/, the report, Snakemake's own records."""
    kinds = {folder.name: folder for folder in sorted((root / "results").iterdir()) if folder.is_dir()}
    kinds |= {"reports": root / "reports", ".snakemake": root / ".snakemake"}
    found = {name: size_of(folder) for name, folder in kinds.items()}
    results = [size for name, size in found.items() if name not in ("reports", ".snakemake")]
    return {"results": {key: sum(size[key] for size in results) for key in ("files", "bytes", "disk_bytes")}, **found}


def size_of(folder: Path) -> dict[str, int]:
    stats = [Path(path, name).lstat() for path, _, names in os.walk(folder) for name in names]
    return {
        "files": len(stats),
        "bytes": sum(stat.st_size for stat in stats),
        "disk_bytes": 512 * sum(stat.st_blocks for stat in stats),
    }
