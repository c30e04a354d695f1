"""What the full-grid bench says of its figures: a line each, what was aimed at, and whether it was met."""

import re
from collections.abc import Mapping
from pathlib import Path

README = Path(__file__).with_name("README.md")
MARKS = ("<!-- full_grid -->", "<!-- end of full_grid -->")
TARGETS = {
    "whole_minutes": (90, "minutes for all cells, tables, fits and report"),
    "head_mb": (500, "MB at most in the head, `kbit run` and Snakemake together"),
    "plan_seconds": (5, "seconds of `kbit plan`"),
    "dry_run_cpu_seconds": (15, "CPU-seconds of a dry run when all is up to date"),
    "added_model_cpu_seconds": (10, "CPU-seconds from `kbit run` with one model more to its first job"),
    "after_seconds": (60, "seconds of tables, fits and report on all rows"),
}
LOST = ("missing", "twice", "foreign", "bad_lines")


def verdict(figures: Mapping) -> tuple[list[str], bool]:
    """One line for each figure, and whether no cell is lost and no target missed."""
    cells, added = figures["cells"], figures["added_model"]
    lost = {name: cells[name] + added[name] for name in LOST if cells[name] + added[name]}
    once = cells["once"] == cells["planned"] == cells["table_rows"]
    counted = f"{cells['once']} of {cells['planned']} evaluated exactly once, {cells.get('ok', 0)} ok"
    where = f"in {figures['shards']} jobs, {figures['at_once']} at a time"
    lines = [f"cells={counted}, {where} ({judge(once and not lost)}{words(lost)})"]
    for name, (target, what) in TARGETS.items():
        if name == "whole_minutes" and (figures["resumed"] or figures["fraction"] != 1):
            lines.append(f"{name}={figures[name]} (of a part of the study: no target)")
        else:
            lines.append(f"{name}={figures[name]} ({what}; target {target}: {judge(figures[name] <= target)})")
    lines += plain_lines(figures)
    return lines, not any("MISSED" in line for line in lines)


def plain_lines(figures: Mapping) -> list[str]:
    """Figures without a target."""
    jobs, cells, head, every = (figures[f"{name}_seconds"] for name in ("job_cpu", "cell", "head_cpu", "all_jobs_cpu"))
    slurm = figures["cpu_seconds"] - head - every
    shares = f"jobs that evaluate {jobs}, of which their cells {cells}; other jobs {every - jobs:.1f}; the head with "
    shares += f"tables, fits and report {head}; Slurm and its database {slurm:.1f}"
    wall, cpu = figures["overhead_seconds_per_job"], figures["overhead_cpu_seconds_per_job"]
    results = figures["sizes"]["results"]
    stored = f"{results['disk_bytes'] / 1e6:.1f} on disk, {results['files']} files"
    steps = ", ".join(f"{verb} {run['wall_seconds']} s" for verb, run in figures["after"].items())
    return [
        f"jobs_by_state={', '.join(f'{number} {state}' for state, number in figures['jobs'].items())}",
        f"cpu_seconds={figures['cpu_seconds']} ({shares})",
        f"overhead_seconds_per_job={wall} (beyond its cells, as Slurm counts its seconds; {cpu} CPU-seconds)",
        f"submissions_per_second={figures['submissions_per_second']}",
        f"results_mb={results['bytes'] / 1e6:.1f} ({stored})",
        f"after_steps={steps}",
    ]


def judge(is_good: bool) -> str:
    return "ok" if is_good else "MISSED"


def words(lost: Mapping[str, int]) -> str:
    return "".join(f", {number} {name}" for name, number in lost.items())


def write_readme(lines: list[str]) -> None:
    """Quote the figures between their marks."""
    start, end = MARKS
    quoted = "\n".join([start, "```", *lines, "```", end])
    text = README.read_text(encoding="utf-8")
    README.write_text(re.sub(f"{start}.*{end}", lambda _: quoted, text, flags=re.DOTALL), encoding="utf-8")
