"""A whole study of one model: one shard of ours against one call of lm-eval's command line per quantization spec.

The same tasks, items and weights on both sides, every process counted with all it starts. lm-eval cannot quantize
as we do, so it is given ready-made quantized checkpoints; making them counts for nobody.
"""

import json
import shutil
import sys
from pathlib import Path
from statistics import median

import yaml
from measure import run_counted

from kbit.models.load import load_model
from kbit.models.quantized import quantized
from kbit.spec.quant import QuantSpec
from kbit.store.parts import part_rows, read_part

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_STUDY = ROOT / "config" / "tiny.yaml"
GRID = {
    "data_types": ["int", "float", "dynamic", "quantile"],
    "bits": [3, 4, 5, 6, 8],
    "block_sizes": [64],
    "exponent_bits": {3: [2], 4: [2], 5: [3], 6: [3], 8: [4]},
}
"""20 specs."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
PLAN = (
    "from pathlib import Path; from kbit.plan.plan import plan_study, write_inputs; "
    "write_inputs(plan_study(Path('config/race.yaml')))"
)
PERPLEXITY_TOLERANCE = 1e-4
"""Relative: the exponential of a mean that differs by float32 rounding. Accuracies are counts and must be equal."""


class Race:
    """A scratch folder with a study of one model and 20 specs, and the same for lm-eval."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.model = model
        self.study = yaml.safe_load(DEFAULT_STUDY.read_text(encoding="utf-8"))
        self.environment = {**ENVIRONMENT, "HF_HOME": str(folder / "hub"), "PYTHONPATH": str(ROOT)}
        self.write_tasks()
        self.write_study()

    @property
    def tasks(self) -> list[str]:
        return [task if isinstance(task, str) else task["name"] for task in self.study["tasks"]]

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def write_tasks(self) -> None:
        """lm-eval's --limit is one for all tasks, so a task with a limit of its own gets a shorter data file."""
        shutil.copytree(ROOT / "data" / "tasks", self.folder / "data" / "tasks")
        (self.folder / "data" / "models").symlink_to(ROOT / "data" / "models")
        for task in self.study["tasks"]:
            if isinstance(task, dict):
                file = self.folder / "data" / "tasks" / f"{task['name']}.jsonl"
                lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
                file.write_text("".join(lines[: task["item_limit"]]), encoding="utf-8")

    def write_study(self) -> None:
        (self.folder / "config").mkdir()
        for name in ("models.yaml", "tasks.yaml"):
            shutil.copy(ROOT / "config" / name, self.folder / "config")
        kept = {key: self.study[key] for key in ("item_limit", "dtype", "token_budget")}
        study = {"name": "race", "title": "A race", "models": [self.model], "tasks": self.tasks, **kept}
        study |= {"baseline": False, "grids": [GRID]}
        (self.folder / "config" / "race.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")

    def run_ours(self) -> dict[str, float]:
        """CPU-seconds of each step from nothing to a part: plan, requests (one process for all), shard."""
        shutil.rmtree(self.folder / "results", ignore_errors=True)
        seconds = {"plan": self.count(sys.executable, "-c", PLAN)}
        specs = self.paths("results/requests/*.json")
        seconds["requests"] = self.count(*kbit("build-requests"), *specs)
        seconds["shard"] = sum(
            self.count(*kbit("run-shard"), shard, "--part", "results/parts/race.parquet", "--device", "cpu")
            for shard in self.only(self.paths("results/shards/*/*.json"))
        )
        return seconds

    def run_requests_apart(self) -> float:
        """CPU-seconds of building the requests as the workflow's rule does: one process for each file."""
        specs = self.paths("results/requests/*.json")
        return sum(
            self.count(*kbit("build-requests"), spec, "--output", str(Path(spec).with_suffix(".parquet")))
            for spec in specs
        )

    def run_theirs(self, slug: str, batch_size: int) -> float:
        """CPU-seconds of one call of lm-eval; bootstrap and all else as the command line has it."""
        command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu"]
        command += ["--model_args", f"pretrained={self.checkpoints / slug},dtype=float32", "--tasks", *self.tasks]
        command += ["--include_path", ".", "--limit", str(self.study["item_limit"]), "--batch_size", str(batch_size)]
        # Its data files are named relative to the tasks' folder.
        command += ["--output_path", str(self.folder / "theirs" / slug / "results.json")]
        return run_counted(command, self.folder / "data" / "tasks", self.environment)

    def save_checkpoints(self, slugs: dict[str, QuantSpec]) -> None:
        source = ROOT / "data" / "models" / self.model.removeprefix("tiny-")
        locator = {"name": self.model, "path": str(source), "hub_id": None, "revision": None}
        model = load_model(locator, "float32", "cpu")
        for slug, spec in slugs.items():
            with quantized(model, spec):
                model.save_pretrained(self.checkpoints / slug)
            for file in source.glob("tokenizer*"):
                shutil.copy(file, self.checkpoints / slug)

    def specs(self) -> dict[str, QuantSpec]:
        (shard,) = self.only(self.paths("results/shards/*/*.json"))
        cells = json.loads((self.folder / shard).read_text(encoding="utf-8"))["cells"]
        found = [QuantSpec.model_validate(cell["spec"]) for cell in cells]
        return {spec.slug: spec for spec in found}

    def our_metrics(self) -> dict[tuple[str, str, str], float]:
        """(spec, task, metric) -> value."""
        rows = part_rows(read_part(self.folder / "results" / "parts" / "race.parquet"))
        specs = {cell: slug for slug, cell in self.cells_of_specs()}
        return {
            (specs[row["cell_id"]], row["task"], metric["name"]): metric["value"]
            for row in rows
            for metric in row["metrics"]
        }

    def cells_of_specs(self) -> list[tuple[str, str]]:
        (shard,) = self.only(self.paths("results/shards/*/*.json"))
        cells = json.loads((self.folder / shard).read_text(encoding="utf-8"))["cells"]
        return [(QuantSpec.model_validate(cell["spec"]).slug, cell["cell_id"]) for cell in cells]

    def their_metrics(self, slug: str) -> dict[tuple[str, str, str], float]:
        (file,) = (self.folder / "theirs" / slug).rglob("*.json")
        results = json.loads(file.read_text(encoding="utf-8"))["results"]
        return {
            (slug, task, key.removesuffix(",none")): value
            for task, values in results.items()
            for key, value in values.items()
            if key.endswith(",none") and "stderr" not in key
        }

    def count(self, *command: str) -> float:
        return run_counted(command, self.folder, self.environment)

    def paths(self, pattern: str) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.glob(pattern))

    @staticmethod
    def only(shards: list[str]) -> list[str]:
        """One model of this size is one shard."""
        if len(shards) != 1:
            sys.exit(f"the study was cut into {len(shards)} shards; this bench compares one")
        return shards


def kbit(verb: str) -> list[str]:
    return [sys.executable, "-m", "kbit.cli", verb]


def spread(slugs: list[str], calls: int) -> list[str]:
    """`calls` of the specs, evenly spread."""
    return [slugs[index * len(slugs) // calls] for index in range(calls)]


def disagreements(ours: dict, theirs: dict) -> list[str]:
    """Metrics that differ by more than they may."""
    found = []
    for key, value in theirs.items():
        allowed = 1e-12 if key[2].startswith("acc") else PERPLEXITY_TOLERANCE * value
        if not abs(ours[key] - value) <= allowed:
            found.append(f"{' '.join(key)}: {ours[key]} against {value}")
    return found


def run_race(folder: Path, model: str, calls: int, batch_size_of: object, repeats: int) -> dict[str, object]:
    """The figures of one model. `batch_size_of(requests files)` is lm-eval's best for them."""
    race = Race(folder, model)
    ours = [race.run_ours()]
    specs = race.specs()
    race.save_checkpoints(specs)
    batch_size = batch_size_of(race)
    chosen = spread(list(specs), min(calls, len(specs)))
    theirs: dict[str, float] = {}
    metrics: dict = {}
    for turn, slug in enumerate(chosen):
        theirs[slug] = race.run_theirs(slug, batch_size)
        metrics |= race.their_metrics(slug)
        if (turn + 1) * repeats // len(chosen) > len(ours):
            ours.append(race.run_ours())
    wrong = disagreements(race.our_metrics(), metrics)
    return summarize(race, ours, theirs, batch_size, len(specs)) | {"metrics_compared": len(metrics), "wrong": wrong}


def summarize(race: Race, ours: list[dict], theirs: dict[str, float], batch_size: int, n_specs: int) -> dict:
    total = median(sum(steps.values()) for steps in ours)
    apart = total - median(steps["requests"] for steps in ours) + race.run_requests_apart()
    extrapolated = sum(theirs.values()) / len(theirs) * n_specs
    return {
        "specs": n_specs,
        "tasks": race.tasks,
        "items": race.study["item_limit"],
        "lm_eval_calls_measured": len(theirs),
        "lm_eval_batch_size": batch_size,
        "lm_eval_cpu_seconds": {slug: round(value, 2) for slug, value in theirs.items()},
        "lm_eval_cpu_seconds_all_specs": round(extrapolated, 1),
        "kbit_cpu_seconds": [{step: round(value, 2) for step, value in steps.items()} for steps in ours],
        "kbit_cpu_seconds_median": round(total, 2),
        "kbit_cpu_seconds_requests_apart": round(apart, 2),
        "ratio": round(extrapolated / total, 1),
        "ratio_requests_apart": round(extrapolated / apart, 1),
        "ratio_shard_alone": round(extrapolated / median(steps["shard"] for steps in ours), 1),
    }
