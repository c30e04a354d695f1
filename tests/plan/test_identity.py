"""Identity: a cell's digest covers what can change its score and nothing else."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from kbit.plan.plan import check_runnable, plan_study, write_inputs
from kbit.plan.slices import CUTS, slice_name
from kbit.spec import cell, members
from kbit.spec.errors import UserError
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.store.shard_file import read_shard

PYTHIA = {
    "name": "pythia",
    "family": "Pythia",
    "hub_id": "EleutherAI/pythia-70m",
    "revision": "a39f36b",
    "parameters": 70426624,
}
LARGE = {
    "name": "large",
    "family": "Pythia",
    "hub_id": "EleutherAI/pythia-6.9b",
    "revision": "f27194",
    "parameters": 6857302016,
}
PIQA = {
    "name": "piqa",
    "kind": "zero-shot",
    "metric": "acc",
    "chance": 0.5,
    "version": "1.0",
    "dataset": "baber/piqa",
    "revision": "142f6d7",
}
PAGES = {**PIQA, "name": "pages", "kind": "perplexity", "metric": "nats_per_token", "chance": None}
GRID = {"data_types": ["int", "float"], "bits": [4], "block_sizes": [64], "exponent_bits": {4: [2]}}
STUDY = {"name": "s", "title": "S", "models": ["*"], "tasks": ["piqa"], "dtype": "float16", "grids": [GRID]}


class Config:
    """A study's three files in a folder, written anew for every plan."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def plan(self, models=(PYTHIA,), task=PIQA, study=STUDY):
        (self.folder / "models.yaml").write_text(yaml.safe_dump({"models": list(models)}))
        tasks = [task, *([] if task["name"] == "pages" else [PAGES])]
        (self.folder / "tasks.yaml").write_text(yaml.safe_dump({"tasks": tasks}))
        (self.folder / "s.yaml").write_text(yaml.safe_dump(study))
        return plan_study(self.folder / "s.yaml")

    def ids(self, **files):
        return {planned.spec.slug: planned.cell_id for planned in self.plan(**files).cells}


@pytest.fixture
def config(tmp_path):
    return Config(tmp_path)


PRESENTATION = {
    "title": {"study": STUDY | {"title": "Another"}},
    "study name": {"study": STUDY | {"name": "another"}},
    "token budget": {"study": STUDY | {"token_budget": 99}},
    "model name": {"models": [PYTHIA | {"name": "renamed"}]},
    "family": {"models": [PYTHIA | {"family": "NeoX"}]},
    "tokens seen": {"models": [PYTHIA | {"tokens_seen": 5}]},
    "how a task is shown": {"task": PIQA | {"label": "PIQA", "items": 5, "metric": "acc_norm", "chance": 0.25}},
    "another model before it": {"models": [LARGE, PYTHIA], "study": STUDY | {"models": ["pythia"]}},
}


@pytest.mark.parametrize("name", PRESENTATION)
def test_identity_ignores(config, name):
    assert config.ids(**PRESENTATION[name]) == config.ids()


SCORE = {
    "weights": {"models": [PYTHIA | {"revision": "b0"}]},
    "dtype": {"study": STUDY | {"dtype": "float32"}},
    "item limit": {"study": STUDY | {"item_limit": 7}},
    "task version": {"task": PIQA | {"version": "2.0"}},
    "data revision": {"task": PIQA | {"revision": "b0"}},
}


@pytest.mark.parametrize("name", SCORE)
def test_identity_covers(config, name):
    before, after = config.ids(), config.ids(**SCORE[name])
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


PLAIN = STUDY | {"tasks": ["pages"]}
COMPARED = STUDY | {"tasks": [{"name": "pages", "divergence": True}]}


def test_divergence_makes_other_cells_of_the_same_requests(config):
    plain, compared = config.plan(task=PAGES, study=PLAIN), config.plan(task=PAGES, study=COMPARED)
    assert not {cell.cell_id for cell in plain.cells} & {cell.cell_id for cell in compared.cells}
    assert plain.requests.keys() == compared.requests.keys()
    assert [shard.requests for shard in plain.shards] == [shard.requests for shard in compared.shards]


def test_divergence_that_is_not_asked_for_changes_no_identity(config):
    not_asked = STUDY | {"tasks": [{"name": "pages", "divergence": False}]}
    assert config.ids(task=PAGES, study=not_asked) == config.ids(task=PAGES, study=PLAIN)


def test_a_shard_file_says_which_cells_are_compared(config):
    for study, expected in ((PLAIN, False), (COMPARED, True)):
        shard = config.plan(task=PAGES, study=study).shards[0]
        (config.folder / "shard.json").write_text(json.dumps(shard.to_json()))
        assert {cell.divergence for cell in read_shard(config.folder / "shard.json").cells} == {expected}


def test_a_member_version_changes_the_cells_that_use_it_alone(config, monkeypatch):
    before = config.ids()
    bumped = dataclasses.replace(members.DATA_TYPES["int"], version=2)
    monkeypatch.setattr(members, "DATA_TYPES", {**members.DATA_TYPES, "int": bumped})
    after = config.ids()
    assert {slug for slug in before if before[slug] != after[slug]} == {"int4-b64"}


def test_the_evaluation_version_changes_every_cell(config, monkeypatch):
    before = config.ids()
    monkeypatch.setattr(cell, "EVALUATION_VERSION", cell.EVALUATION_VERSION + 1)
    assert not set(before.values()) & set(config.ids().values())


def test_identity_is_fixed_forever():
    """A changed digest would re-evaluate every study there is: only ever change this with a reason in the CHANGELOG."""
    spec = QuantSpec(data_type="float", bits=4, exponent_bits=2, block_size=64)
    assert cell.cell_id("EleutherAI/pythia-70m@a39f36b", cell.spec_identity(spec), "t", "float16") == (
        "ddbbfc4bd01872e044e53445331def0b"
    )


def test_a_cell_named_by_two_grids_is_planned_once(config):
    twice = STUDY | {"grids": [GRID, GRID | {"bits": [3, 4], "data_types": ["int"]}]}
    assert sorted(planned.spec.slug for planned in config.plan(study=twice).cells) == [
        "float4e2-b64",
        "int3-b64",
        "int4-b64",
        "none16",
    ]


def sized(parameters: float) -> dict:
    """A model of so many parameters."""
    return PYTHIA | {"name": f"m{parameters:.0f}", "hub_id": f"x/m{parameters:.0f}", "parameters": int(parameters)}


CLASSES = [sized(min(limit, 400e9) / 1.5) for limit, _ in CUTS]
"""A model of every class of sizes that is cut in a way of its own."""
ADDITIONS = {
    "models": {},
    "a data type": {"data_types": ["dynamic", "int", "float"]},
    "a width": {"bits": [3, 4], "exponent_bits": {3: [2], 4: [2]}},
    "block sizes": {"block_sizes": ["tensor", "row", 1024, 256, 64]},
    "exponent bits": {"exponent_bits": {3: [2], 4: [1, 2]}},
    "a centering": {"centered": ["block", "none"]},
    "an outlier fraction": {"outlier_fractions": [0.0, 0.02]},
    "a task": {},
}


def extended(names) -> dict:
    """The study with these additions to its grid, and a second grid that repeats a part of the first."""
    grid = GRID | {key: value for name in names for key, value in ADDITIONS[name].items()}
    tasks = ["pages", "piqa"] if "a task" in names else ["piqa"]
    return STUDY | {"tasks": tasks, "grids": [GRID | {"data_types": ["int"]}, grid]}


@pytest.mark.parametrize("model", CLASSES, ids=lambda model: model["name"])
@pytest.mark.parametrize(
    "names", [*([name] for name in ADDITIONS), [*ADDITIONS]], ids=lambda names: names[0] if len(names) == 1 else "all"
)
def test_adding_to_a_study_never_re_cuts_what_exists(config, model, names):
    before = config.plan(models=[model])
    after = config.plan(models=CLASSES if "models" in names else [model], study=extended(names))
    assert len(after.cells) > len(before.cells)
    cuts = [{cell.cell_id: shard for shard in plan.shards for cell in shard.cells} for plan in (before, after)]
    for cell_id, shard in cuts[0].items():
        now = cuts[1][cell_id]
        assert (now.model.slug, now.slice_name) == (shard.model.slug, shard.slice_name)
        # What got no cell stays under its key: its part is there.
        assert (now.part == shard.part) == (len(now.cells) == len(shard.cells))
    if names == ["models"]:
        assert {shard.part for shard in before.shards} <= {shard.part for shard in after.shards}


def test_the_classes_are_all_there_are():
    spec = QuantSpec(data_type="float", bits=4, exponent_bits=2, block_size=64)
    assert [slice_name(model["parameters"], spec) for model in CLASSES] == [cut(spec) for _, cut in CUTS]


def test_parts_lie_under_the_identity_of_the_weights_not_the_name(config):
    parts = [shard.part for shard in config.plan().shards]
    assert parts == [shard.part for shard in config.plan(models=[PYTHIA | {"name": "renamed"}]).shards]
    assert str(parts[0]).startswith("results/parts/eleutherai-pythia-70m-a39f36b/all.")


def test_renaming_changes_the_stamp_of_the_tables(config):
    assert config.plan().stamp != config.plan(models=[PYTHIA | {"name": "renamed"}]).stamp


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (70e6, "all"),
        (2e9, "float"),
        (7e9, "k4"),
        (20e9, "float-k4"),
        (66e9, "float-k4-fine"),
        (176e9, "float4e2-b64"),
    ],
    ids=["70 M", "2 B", "7 B", "20 B", "66 B", "176 B"],
)
def test_slices_are_a_function_of_the_parameter_count(parameters, expected):
    spec = QuantSpec(data_type="float", bits=4, exponent_bits=2, block_size=64)
    assert slice_name(int(parameters), spec) == expected


def test_the_control_of_a_large_model_is_a_slice_of_its_own():
    assert slice_name(int(7e9), CONTROL) == "k16"


def test_a_plan_that_the_disk_does_not_take_is_one_line(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = config.plan()
    # In the way of a folder, which root cannot be kept from writing.
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match=r"the plan's file .*results.* cannot be written: Not a directory"):
        write_inputs(plan)


def test_an_unbuilt_option_is_planned_but_refused(config, monkeypatch):
    """What a release lists but cannot evaluate is said before anything is run."""
    plan = config.plan(study={**STUDY, "grids": [{**GRID, "outlier_fractions": [0.02]}]})
    assert plan.unbuilt == []
    check_runnable(plan)
    proxy = dataclasses.replace(members.OUTLIER_RULES["proxy"], built=False)
    monkeypatch.setitem(members.OUTLIER_RULES, "proxy", proxy)
    assert plan.unbuilt == ["outlier_rule=proxy"]
    with pytest.raises(UserError, match=r"s\.yaml asks for outlier_rule=proxy, which this release plans but cannot"):
        check_runnable(plan)
