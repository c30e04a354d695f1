"""The text that solvers are calibrated on: named in the study, part of a spec's identity, in shard files by digest."""

import json
import lzma
from pathlib import Path

import pytest
import yaml

from kbit.plan.plan import plan_study, write_inputs
from kbit.plan.submitted import SubmittedJobs
from kbit.spec.calibration import CALIBRATION, CalibrationConfig
from kbit.spec.errors import UserError
from kbit.spec.hardware import Hardware
from kbit.spec.requests import requests_digest
from kbit.spec.section import load_section
from kbit.spec.tasks import TasksFile, resolve_task
from kbit.store.paths import requests_path
from kbit.store.shard_file import read_shard

ROOT = Path(__file__).parents[2]
MODEL = {"name": "m", "family": "F", "hub_id": "a/m", "revision": "1", "parameters": 1000}
TEXT = {"kind": "perplexity", "metric": "nats_per_token", "version": "1", "text": {}}
TASKS = [
    {"name": "pages", "data_files": ["pages.txt"], **TEXT},
    {"name": "prose", "data_files": ["prose.txt"], **TEXT},
    {"name": "far", "dataset": "a/d", "revision": "7", **TEXT, "text": {"split": "train"}},
    {
        "name": "quiz",
        "kind": "zero-shot",
        "metric": "acc",
        "chance": 0,
        "version": "1",
        "dataset": "a/q",
        "revision": "1",
    },
]
GRID = {"data_types": ["int"], "bits": [3], "block_sizes": [64], "solvers": ["rtn", "gptq"]}
STUDY = {
    "name": "s",
    "title": "S",
    "models": ["*"],
    "tasks": ["pages"],
    "dtype": "float32",
    "calibration": {"text": "prose", "sequences": 4, "length": 8},
    "grids": [GRID],
}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pages.txt").write_text("Scored.")
    (tmp_path / "prose.txt").write_text("Shown.")

    def make(tasks=TASKS, calibration=STUDY["calibration"], **grid):
        Path("models.yaml").write_text(yaml.safe_dump({"models": [MODEL]}))
        Path("tasks.yaml").write_text(yaml.safe_dump({"tasks": tasks}))
        study = {**STUDY, "calibration": calibration, "grids": [{**GRID, **grid}]}
        Path("s.yaml").write_text(yaml.safe_dump(study))
        return plan_study(Path("s.yaml"))

    return make


def ids(plan):
    return {cell.spec.slug: cell.cell_id for cell in plan.cells}


def changed(task: int, **keys):
    return [*TASKS[:task], {**TASKS[task], **keys}, *TASKS[task + 1 :]]


def test_the_spec_says_what_is_shown(plan):
    shown = {cell.spec.slug: cell.spec.calibration for cell in plan().cells}
    assert shown.keys() == {"none16", "int3-b64", "int3-b64-gptq"}
    assert shown["none16"] is shown["int3-b64"] is None
    assert shown["int3-b64-gptq"].startswith("4x8-")


def test_what_is_shown_changes_calibrated_cells_alone(plan):
    before = ids(plan())
    for others in (
        plan(calibration={"text": "prose", "sequences": 5, "length": 8}),
        plan(calibration={"text": "prose", "sequences": 4, "length": 9}),
        plan(calibration={"text": "pages", "sequences": 4, "length": 8}),
        plan(calibration={"text": "far", "sequences": 4, "length": 8}),
        plan(tasks=changed(1, text={"separator": " ", "window": 3})),
        plan(tasks=changed(1, text={"documents": 1})),
    ):
        after = ids(others)
        assert {slug for slug in before if before[slug] != after[slug]} == {"int3-b64-gptq"}
    Path("prose.txt").write_text("Something else.")
    assert ids(plan())["int3-b64-gptq"] != before["int3-b64-gptq"]


def test_neither_name_nor_place_nor_how_it_is_scored_matters(plan):
    before = ids(plan())
    Path("prose.txt").rename("verse.txt")
    same = changed(1, name="verse", data_files=["verse.txt"], metric="perplexity", version="2", label="Verse", items=3)
    same[1]["text"] = {"window": 5, "windows": 7}
    assert ids(plan(same, {"text": "verse", "sequences": 4, "length": 8})) == before


def test_without_calibrated_specs_nothing_is_asked_for(plan):
    calibrated, plain = plan(), plan(solvers=["rtn"])
    assert ids(plain).items() <= ids(calibrated).items()
    assert [path.name.split(".")[0] for path in plain.requests] == ["pages"]
    assert [path.name.split(".")[0] for path in calibrated.requests] == ["pages", CALIBRATION]
    assert ids(plan(calibration=None, solvers=["rtn"])) == ids(plain)


def test_jobs_find_it_by_the_shard_file(plan):
    calibrated = plan()
    write_inputs(calibrated)
    (shard,) = calibrated.shards
    digest = requests_digest(calibrated.study.calibration, shard.model)
    cells = {cell.spec.slug: cell for cell in read_shard(shard.file).cells}
    assert {slug: cell.calibration for slug, cell in cells.items()} == {
        "none16": None,
        "int3-b64": None,
        "int3-b64-gptq": digest,
    }
    path = requests_path(CALIBRATION, digest)
    assert path in shard.requests
    assert path.with_suffix(".json").is_file()
    wildcards = {"model": shard.model.slug, "slice": shard.slice_name, "key": shard.key}
    assert str(path) in SubmittedJobs(Hardware()).requests(**wildcards)
    content = json.loads(shard.file.read_text())
    assert ["calibration" in cell for cell in content["cells"]] == [cell.spec.is_calibrated for cell in shard.cells]


def test_a_hub_text_is_fetched_and_must_be_pinned(plan):
    hub = {"text": "far", "sequences": 4, "length": 8}
    pinned = plan(calibration=hub)
    write_inputs(pinned)
    assert [path.name.split(".")[0] for path in Path("results/tasks").iterdir()] == [CALIBRATION]
    assert CALIBRATION in plan(changed(2, revision=None), hub).unpinned


MISTAKES = {
    "none": (
        None,
        (
            "solver 'gptq' (grids[0].solvers of s.yaml) needs a text to be calibrated on: "
            "calibration: {text: a text of tasks_files, sequences: 128, length: 2048}"
        ),
    ),
    "unknown": ({"text": "verse"}, "text 'verse' is not one of pages, prose, far (calibration of s.yaml)"),
    "no text": ({"text": "quiz"}, "text 'quiz' is one of lm-eval's tasks, not a plain text (calibration of s.yaml)"),
    "no sequences": (
        {"text": "prose", "sequences": 0},
        "s.yaml: calibration.sequences: 0: input should be greater than 0",
    ),
    "unknown key": (
        {"text": "prose", "seed": 1},
        "s.yaml: calibration.seed: unknown key 'seed': accepted here are length, sequences, text",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_clear_error(name, plan):
    calibration, message = MISTAKES[name]
    with pytest.raises(UserError) as caught:
        plan(calibration=calibration)
    assert str(caught.value) == message


def test_options_of_the_solver_are_its_own(plan):
    slugs = list(ids(plan(dampings=[0.01, 0.1], act_orders=[False, True])))
    gptq = ["int3-b64-gptq", "int3-b64-gptq-actorder", "int3-b64-gptq-damp0.1", "int3-b64-gptq-damp0.1-actorder"]
    assert slugs == ["none16", "int3-b64", *gptq]
    with pytest.raises(UserError, match=r"grids\[0\]: damping 2 is not legal: accepted is more than 0, at most 1$"):
        plan(dampings=[2])


def test_the_embedded_text_is_what_nothing_is_scored_on():
    entries = {entry.name: entry for entry in load_section(TasksFile, ROOT / "config/tasks.yaml").tasks}
    entry = entries["corpus_train"]
    assert [Path(name).name for name in entry.data_files] == ["train.jsonl.xz"]
    task = resolve_task(entry, None, ROOT / "config/tasks.yaml")
    with lzma.open(task.data_files[0]) as lines:
        assert entry.items == sum(1 for _ in lines)
    assert CalibrationConfig(text="corpus_train")
