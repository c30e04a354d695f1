"""A mistake in a study ends in one line that names the value, what is accepted and where it is set."""

import json
import struct
from pathlib import Path

import pytest
import yaml

from kbit.spec.errors import UserError
from kbit.spec.grid import GridConfig
from kbit.spec.members import DATA_TYPES, SOLVERS
from kbit.spec.study import StudyConfig, load_study

STUDY = {
    "name": "mistakes",
    "title": "A study with one mistake",
    "models": ["first"],
    "tasks": ["toy"],
    "dtype": "float32",
    "grids": [{"data_types": ["int"], "bits": [4], "block_sizes": [64]}],
}
TASK = {
    "name": "toy",
    "kind": "zero-shot",
    "metric": "acc",
    "chance": 0.5,
    "version": "1.0",
    "yaml_file": "toy.yaml",
    "data_files": ["toy.jsonl"],
}


def write_model(folder, value):
    """A checkpoint as far as planning looks at it: a config and a safetensors file of one tensor."""
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    header = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    content = struct.pack("<Q", len(header)) + header + struct.pack("<f", value)
    (folder / "model.safetensors").write_bytes(content)


@pytest.fixture
def folder(tmp_path):
    """A folder with a correct study: two models, one local task."""
    for number, name in enumerate(("first", "second")):
        write_model(tmp_path / name, number)
    write(tmp_path, "models.yaml", {"models": [entry("first"), entry("second")]})
    write(tmp_path, "tasks.yaml", {"tasks": [TASK]})
    write(tmp_path, "toy.yaml", {"task": "toy", "dataset_path": "json"})
    (tmp_path / "toy.jsonl").write_text('{"query": "a", "label": 0, "choices": ["b", "c"]}\n', encoding="utf-8")
    write(tmp_path, "study.yaml", STUDY)
    return tmp_path


def entry(name):
    return {"name": name, "family": "Toys", "path": name}


def write(folder, name, content):
    (folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def mistake(folder):
    """The one line that the study in `folder` ends in, with the folder's own path taken out."""
    with pytest.raises(UserError) as caught:
        load_study(folder / "study.yaml")
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")


def test_the_correct_study_loads(folder):
    study = load_study(folder / "study.yaml")
    assert [model.name for model in study.models] == ["first"]
    assert study.models[0].parameters == 1
    assert [task.name for task in study.tasks] == ["toy"]


GRID = STUDY["grids"][0]
FLOAT = {**GRID, "data_types": ["float"]}
MISTAKES = {
    "unknown key": (
        {"dtpye": "float32"},
        "study.yaml: dtpye: unknown key 'dtpye': accepted here are " + ", ".join(sorted(StudyConfig.model_fields)),
    ),
    "unknown key of a grid": (
        {"grids": [{**GRID, "block_size": [64]}]},
        "study.yaml: grids[0].block_size: unknown key 'block_size': accepted here are "
        + ", ".join(sorted(GridConfig.model_fields)),
    ),
    "missing key": ({"dtype": None}, "study.yaml: dtype is missing; only published tables alone need none of these"),
    "unknown data type": (
        {"grids": [{**GRID, "data_types": ["posit"]}]},
        f"study.yaml: grids[0]: data_type 'posit' is not one of {', '.join(DATA_TYPES)}",
    ),
    "one bit": (
        {"grids": [{**GRID, "bits": [1]}]},
        "study.yaml: grids[0]: bits 1 is not legal for data_type 'int': accepted is 2 to 8",
    ),
    "nine bits": (
        {"grids": [{**GRID, "bits": [4, 9]}]},
        "study.yaml: grids[0]: bits 9 is not legal for data_type 'int': accepted is 2 to 8",
    ),
    "block of no weights": (
        {"grids": [{**GRID, "block_sizes": [0]}]},
        "study.yaml: grids[0].block_sizes[0]: block_size 0 is not a positive number of weights, row or tensor",
    ),
    "unknown block size": (
        {"grids": [{**GRID, "block_sizes": ["column"]}]},
        "study.yaml: grids[0].block_sizes[0]: block_size 'column' is not a positive number of weights, row or tensor",
    ),
    "exponent that does not fit": (
        {"grids": [{**FLOAT, "exponent_bits": {4: [4]}}]},
        "study.yaml: grids[0]: exponent_bits 4 does not fit 4 bits: accepted is 1 to 3",
    ),
    "exponent not stated": (
        {"grids": [FLOAT]},
        "study.yaml: grids[0]: exponent_bits is missing for 4-bit float: accepted is 1 to 3",
    ),
    "unknown solver": (
        {"grids": [{**GRID, "solvers": ["guess"]}]},
        f"study.yaml: grids[0]: solver 'guess' is not one of {', '.join(SOLVERS)}",
    ),
    "unknown dtype": (
        {"dtype": "float8"},
        "study.yaml: dtype: 'float8': input should be 'float32', 'float16' or 'bfloat16'",
    ),
    "unknown model": (
        {"models": ["third"]},
        "'third' matches no model (models of study.yaml); the models are first, second",
    ),
    "all models excluded": ({"exclude_models": ["*"]}, "study.yaml: exclude_models leaves no model"),
    "grid for a model outside the study": (
        {"grids": [{**GRID, "models": ["second"]}]},
        "'second' matches no model (grids[0].models of study.yaml); the models are first",
    ),
    "unknown task": ({"tasks": ["quiz"]}, "task 'quiz' is not one of toy (tasks of study.yaml)"),
    "task named twice": ({"tasks": ["toy", "toy"]}, "task 'toy' is named twice (tasks of study.yaml)"),
    "divergence of accuracy": (
        {"tasks": [{"name": "toy", "divergence": True}]},
        "task 'toy' is zero-shot; divergence: true is for perplexity tasks (tasks of study.yaml)",
    ),
    "grid for a task outside the study": (
        {"grids": [{**GRID, "tasks": ["quiz"]}]},
        "'quiz' is not one of the study's tasks toy (grids[0].tasks of study.yaml)",
    ),
    "no such data sheet": ({"models_files": ["mine.yaml"]}, "no file mine.yaml"),
    "name that is no folder": (
        {"name": "A study"},
        "study.yaml: name: 'A study': string should match pattern '^[a-z0-9][a-z0-9-]*$'",
    ),
}


@pytest.mark.parametrize(("change", "line"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_in_the_study(folder, change, line):
    write(folder, "study.yaml", {**STUDY, **change})
    assert mistake(folder) == line


def test_further_mistakes_are_counted(folder):
    write(folder, "study.yaml", {**STUDY, "dtype": "float8", "token_budget": 0})
    assert mistake(folder).endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: [", "study.yaml is not YAML: "),
        ("- name", "study.yaml holds a list, not the mapping of a StudyConfig"),
        ("", "study.yaml is empty"),
    ],
)
def test_study_that_is_no_mapping(folder, text, line):
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    assert mistake(folder).startswith(line)


def test_missing_study(tmp_path):
    assert mistake(tmp_path) == "no file study.yaml"


def test_missing_model_folder(folder):
    write(folder, "models.yaml", {"models": [entry("first"), {**entry("second"), "path": "gone"}]})
    load_study(folder / "study.yaml")  # only the models of the study are looked at
    write(folder, "study.yaml", {**STUDY, "models": ["*"]})
    assert mistake(folder) == "model 'second': no folder gone (path of the model in models.yaml)"


def test_model_folder_without_weights(folder):
    (folder / "first" / "model.safetensors").unlink()
    assert (
        mistake(folder) == "model 'first': first holds no config.json with weights (path of the model in models.yaml)"
    )


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"])
def test_weights_that_are_no_safetensors(folder, content):
    (folder / "first" / "model.safetensors").write_bytes(content)
    assert mistake(folder) == (
        "first/model.safetensors is not a safetensors file (truncated, or a pointer that git-lfs has not fetched)"
    )


def test_two_models_of_one_name(folder):
    write(folder, "models.yaml", {"models": [entry("first"), {**entry("first"), "path": "second"}]})
    assert mistake(folder) == "two models are named 'first' (models.yaml and models.yaml)"


def test_two_models_of_the_same_weights(folder):
    write(folder, "models.yaml", {"models": [entry("first"), {**entry("second"), "path": "first"}]})
    write(folder, "study.yaml", {**STUDY, "models": ["*"]})
    line = mistake(folder)
    assert line.startswith("models 'first' and 'second' have the same weights (local-")
    assert line.endswith("); keep one in models of study.yaml")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"path": None}, "model 'first' needs exactly one of hub_id, path and gguf_file"),
        ({"hub_id": "org/first"}, "model 'first' needs exactly one of hub_id, path and gguf_file"),
        (
            {"path": None, "hub_id": "org/first"},
            "model 'first' comes from the hub and needs parameters (`kbit pin` fills them)",
        ),
    ],
)
def test_source_of_a_model(folder, change, line):
    write(folder, "models.yaml", {"models": [{**entry("first"), **change}]})
    assert mistake(folder) == f"models.yaml: models[0]: {line}"


@pytest.mark.parametrize("name", ["toy.yaml", "toy.jsonl"])
def test_missing_task_file(folder, name):
    (folder / name).unlink()
    assert mistake(folder) == f"task 'toy': no file {name} (yaml_file and data_files of the task in tasks.yaml)"


def test_broken_task_data(folder):
    with (folder / "toy.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"query": "b", \n')
    assert mistake(folder).startswith("task 'toy': line 2 of toy.jsonl is not JSON: ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("task: [", "task 'toy': toy.yaml is not YAML: "),
        ("task: other", "task 'toy': toy.yaml defines 'other'; both names must be the same"),
    ],
)
def test_broken_task_definition(folder, text, line):
    (folder / "toy.yaml").write_text(text, encoding="utf-8")
    assert mistake(folder).startswith(line)


def test_functions_of_a_task_definition_are_not_run(folder):
    (folder / "toy.yaml").write_text("task: toy\nprocess_results: !function toy.score\n", encoding="utf-8")
    assert load_study(folder / "study.yaml").tasks[0].name == "toy"


def test_study_is_frozen(folder):
    study = load_study(folder / "study.yaml")
    with pytest.raises(ValueError, match="frozen"):
        study.config.name = "other"


def test_paths_are_those_of_the_file(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert load_study(Path("study.yaml")).models[0].path == (folder / "first").resolve()
