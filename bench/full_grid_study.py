"""The study of the full-grid bench: the paper's grid over copies of one embedded model, in a clone of this checkout.

Each copy stands in for one model of the paper: it has that model's name and declared number of parameters, which
decides how its cells are cut into slices, and weights of its own. Rows and tables count the parameters really there.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parents[1]
SMALLEST = ROOT / "data" / "models" / "neox-32x2"
NOISE = 1e-3
"""Of every weight, relative; the weights are stored in 11 significant bits, so about half of them change."""
OPT_175B = {"name": "opt-175b", "family": "OPT", "parameters": 174604468224, "quantized_parameters": 173946175488}
"""The paper's largest, as config/models.yaml tells how to add it: its weights are not on the hub."""
ADDED = {"name": "one-more", "family": "Pythia", "parameters": 1414647808, "quantized_parameters": 1207959552}
"""A model that comes later, of the size of Pythia-1.4B."""
TASKS = ("ho_lambada", "ho_winogrande", "ho_hellaswag", "ho_piqa", "ho_perplexity")
ITEMS = 4
STUDY = Path("config/grid.yaml")
PROFILE = Path("profiles/slurm")


def paper_models() -> list[dict[str, object]]:
    """Name, family and counts of the paper's 34 models, in the data sheet's order."""
    patterns = read_yaml(ROOT / "config/paper.yaml")["models"]
    sheet = read_yaml(ROOT / "config/models.yaml")["models"]
    chosen = [entry for entry in sheet if any(fnmatchcase(entry["name"], pattern) for pattern in patterns)]
    kept = [{key: entry[key] for key in OPT_175B} for entry in chosen]
    return kept if any(entry["name"] == OPT_175B["name"] for entry in kept) else [*kept, OPT_175B]


def share_of(models: Sequence[dict], fraction: float) -> list[dict]:
    """That fraction of the models, at least one, evenly spread over the list."""
    count = max(1, round(fraction * len(models)))
    return [models[(2 * index + 1) * len(models) // (2 * count)] for index in range(count)]


def grids() -> list[dict[str, object]]:
    """The paper's grids, all of them."""
    return [dict(grid) for grid in read_yaml(ROOT / "config/paper.yaml")["grids"]]


class Scratch:
    """A clone of this checkout's HEAD with the study, its models and its place."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> None:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.root)], check=True)

    def write_study(self, models: Iterable[dict[str, object]]) -> None:
        """Write the data sheet with these models, the copies that are not there yet, and the study."""
        models = list(models)
        for model in models:
            copy_model(self.root / "data/grid" / str(model["name"]), str(model["name"]))
        entries = [{**model, "path": f"../data/grid/{model['name']}"} for model in models]
        names = [model["name"] for model in models]
        families = [grid for grid in map(dict, grids()) if matches(grid.get("models", ["*"]), names)]
        study = {
            "name": STUDY.stem,
            "title": "The paper's grid over copies of one model",
            "models_files": ["grid-models.yaml"],
            "models": ["*"],
            "tasks": list(TASKS),
            "item_limit": ITEMS,
            "dtype": "float32",
            "token_budget": 2048,
            "grids": families,
        }
        write_yaml(self.root / "config/grid-models.yaml", {"models": entries})
        write_yaml(self.root / STUDY, study)

    def set_place(self, account: str, partition: str, mem_mb: int) -> None:
        """Edit the shipped profile: account and partition, no GPU, and what a job of these small models needs."""
        file = self.root / PROFILE / "profile.yaml"
        profile = read_yaml(file)
        profile["default-resources"] |= {"slurm_account": account, "slurm_partition": partition}
        profile["set-resources"] = {"evaluate": {"mem_mb": mem_mb, "runtime": 60}}
        write_yaml(file, profile)
        hardware = self.root / PROFILE / "hardware.yaml"
        write_yaml(hardware, read_yaml(hardware) | {"max_gpus": 0})

    def kbit(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "kbit.cli", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """Beside the caller's own: the clone's code, one thread."""
        return {"PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}


def matches(patterns: Iterable[str], names: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def copy_model(folder: Path, name: str) -> None:
    """The smallest embedded model with its weights perturbed; the name is the seed. What is there is kept."""
    if folder.exists():
        return
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(SMALLEST, partial)
    weights = partial / "model.safetensors"
    generator = np.random.default_rng(list(name.encode()))
    values = {key: perturb(value, generator) for key, value in sorted(load_file(weights).items())}
    save_file(values, weights, metadata={"format": "pt"})
    partial.rename(folder)


def perturb(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each value times 1 + 1e-3 z, z standard normal, in its own dtype."""
    noisy = values.astype(np.float64) * (1 + NOISE * generator.standard_normal(values.shape))
    return noisy.astype(values.dtype)


def read_yaml(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def write_yaml(path: Path, content: object) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
