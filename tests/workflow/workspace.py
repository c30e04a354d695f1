"""A scratch clone of the project with a small real study, run through Snakemake itself."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import yaml

from kbit.store.lines import decode_line

REPOSITORY = Path(__file__).parents[2]
SHIPPED = ("Snakefile", "kbit", "workflow", "profiles")
MODELS = {"a": ("tiny NeoX", "neox-32x2"), "b": ("tiny OPT", "opt-32x2"), "c": ("tiny GPT-2", "gpt2-32x2")}
TASKS = ("ho_piqa", "ho_perplexity")


class Workspace:
    """A folder like a fresh clone: code, rules, profiles, models, tasks and one study of a few cells."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path) -> "Workspace":
        for name in SHIPPED:
            copy(REPOSITORY / name, root / name)
        for _, folder in MODELS.values():
            copy(REPOSITORY / "data/models" / folder, root / "data/models" / folder)
        copy(REPOSITORY / "data/tasks", root / "data/tasks")
        copy(REPOSITORY / "config/tasks.yaml", root / "config/tasks.yaml")
        workspace = cls(root)
        workspace.write_models({name: name for name in MODELS})
        workspace.write_study()
        return workspace

    def copy_to(self, root: Path) -> "Workspace":
        """The same state elsewhere, file times kept."""
        shutil.copytree(self.root, root, symlinks=True)
        return Workspace(root)

    def write_models(self, names: dict[str, str]) -> None:
        """Write the data sheet; `names` maps the name shown to the key in MODELS."""
        entries = [
            {"name": name, "family": MODELS[key][0], "path": f"../data/models/{MODELS[key][1]}"}
            for name, key in names.items()
        ]
        self.write_yaml("config/models.yaml", {"models": entries})

    def write_study(self, name: str = "small", **changes: object) -> None:
        """Write a study: two models, one task of four items, int at 3 and 4 bits, and the control, unless changed."""
        grid = {"data_types": ["int"], "bits": [3, 4], "block_sizes": [64], "exponent_bits": {3: [2], 4: [2]}}
        grid |= {key: changes.pop(key) for key in list(changes) if key in grid}
        study = {
            "name": name,
            "title": "A small study",
            "models": ["a", "b"],
            "tasks": ["ho_piqa"],
            "item_limit": 4,
            "dtype": "float32",
            "grids": [grid],
        }
        self.write_yaml(f"config/{name}.yaml", study | changes)

    def write_yaml(self, path: str, content: object) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(yaml.safe_dump(content, sort_keys=False))

    def kbit(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess:
        return self.call(sys.executable, "-m", "kbit.cli", *arguments, expect=expect)

    def call(self, *command: str, expect: int = 0) -> subprocess.CompletedProcess:
        """Run a command in the workspace with the workspace's own code."""
        done = subprocess.run(
            command, cwd=self.root, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == expect, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}

    def run(self, study: str = "small", *arguments: str, expect: int = 0) -> subprocess.CompletedProcess:
        return self.kbit("run", f"config/{study}.yaml", "--profile", "profiles/local", *arguments, expect=expect)

    def dry_run(self, study: str = "small") -> dict[str, int]:
        """Rule -> jobs that a run would execute, from Snakemake's own table."""
        output = self.run(study, "-n").stdout
        if "Nothing to be done" in output:
            return {}
        table = re.search(r"^job +count\n-+ +-+\n(.*?)^total", output, re.MULTILINE | re.DOTALL)
        assert table, output
        counts = dict(line.split() for line in table.group(1).strip().splitlines())
        return {rule: int(count) for rule, count in counts.items() if rule != "all"}

    def evaluations(self) -> Counter[str]:
        """How often each cell was evaluated: rows in the journals, one per evaluation."""
        counts: Counter[str] = Counter()
        for journal in self.root.glob("results/journal/*/*.jsonl"):
            for line in journal.read_text().splitlines():
                if (event := event_of(line)).get("event") == "row":
                    counts[event["cell_id"]] += 1
        return counts

    def table(self, name: str, study: str = "small") -> pl.DataFrame:
        return pl.read_parquet(self.root / "results/studies" / study / "tables" / f"{name}.parquet")

    def parts(self) -> list[Path]:
        return sorted(self.root.glob("results/parts/*/*.parquet"))


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


def event_of(line: str) -> dict:
    """What a journal line says; nothing if it is torn."""
    event = decode_line(line.encode())
    return json.loads(event.text) if event else {}
