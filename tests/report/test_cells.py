"""The explorer's rows, and the study of one cell that evaluates it anew."""

from pathlib import Path

import polars as pl
import pytest
import yaml

from kbit.plan.plan import plan_study
from kbit.report.cells import ID_DIGITS, explore_cells
from kbit.report.recipes import STUDY_KEYS, grid_yaml, study_yaml
from kbit.spec.grid import GridConfig

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="module")
def explorer(frames):
    return explore_cells(frames)


def test_a_cell_refers_to_its_point_task_and_run(explorer, frames):
    assert explorer.cells.height == frames["cells"].height
    points, tasks = frames["points"].to_dicts(), explorer.tasks["task"].to_list()
    for listed, cell in zip(explorer.cells.to_dicts()[::37], frames["cells"].to_dicts()[::37], strict=True):
        point = points[listed["point"]]
        assert (point["model"], point["spec"], tasks[listed["task"]]) == (cell["model"], cell["spec"], cell["task"])
        assert listed["id"] == cell["cell_id"][:ID_DIGITS]
        assert listed["started"] == 0  # all of them began at the same second
        headline = [metric for metric in cell["metrics"] or () if metric["name"] == cell["task_metric"]]
        assert listed["value"] == (headline[0]["value"] if headline else None)


def test_cells_of_one_machine_share_their_run(explorer):
    assert explorer.runs.height == explorer.cells["run"].n_unique() == 2  # quantized and not: other members
    assert set(explorer.runs["host"]) == {"node-1"}


def test_runs_of_several_machines_are_told_apart(frames):
    hosts = pl.when(pl.col("model") == "bel-1").then(pl.lit("node-2")).otherwise(pl.col("host")).alias("host")
    mixed = explore_cells({**frames, "cells": frames["cells"].with_columns(hosts)})
    of_host = mixed.cells.with_columns(host=mixed.runs["host"].gather(mixed.cells["run"]))
    points = frames["points"]["model"].gather(of_host["point"])
    assert set(points.filter(of_host["host"] == "node-2")) == {"bel-1"}


def test_the_grid_of_a_spec_is_that_spec_alone(frames, synthetic):
    rows = frames["cells"].unique("spec", keep="first", maintain_order=True).to_dicts()
    slugs = {spec.slug for spec in synthetic.specs()}
    for row in rows:
        text = grid_yaml(row)
        grids = yaml.safe_load(text)["grids"] if text else []
        found = [spec.slug for grid in grids for spec in GridConfig(**grid).specs()]
        assert found == ([] if row["spec"] == "none16" else [row["spec"]])
        slugs.remove(row["spec"])
    assert slugs == set()


def test_a_study_of_one_cell_asks_for_that_cell(tmp_path):
    """As page/recipe.js puts it together, in a folder that has the study's models and tasks."""
    plan = plan_study(CONFIG / "tiny.yaml")
    settings = plan.study.config.model_dump(mode="json", include=set(STUDY_KEYS))
    settings |= {name: [str(CONFIG / file) for file in settings[name]] for name in ("models_files", "tasks_files")}
    for cell in (plan.cells[0], plan.cells[len(plan.cells) // 2], plan.cells[-1]):
        row = {**cell.spec.model_dump(), "block_size": str(cell.spec.block_size)}
        grid = grid_yaml({**row, "block_size": None} if cell.spec.data_type == "none" else row)
        text = (
            f'name: one-cell\ntitle: "One cell"\n{study_yaml({"settings": settings})}'
            f"models: [{cell.model.name}]\ntasks: [{{name: {cell.task.name}}}]\nitem_limit: {cell.task.item_limit}\n"
            f"baseline: {'false' if grid else 'true'}\n{grid}"
        )
        (tmp_path / "one-cell.yaml").write_text(text)
        assert [one.cell_id for one in plan_study(tmp_path / "one-cell.yaml").cells] == [cell.cell_id]


def test_a_calibrated_spec_comes_with_its_options_and_its_text():
    row = {"data_type": "int", "bits": 3, "exponent_bits": None, "solver": "gptq", "damping": 0.1, "act_order": True}
    grid = yaml.safe_load(grid_yaml(row))["grids"][0]
    assert (grid["solvers"], grid["dampings"], grid["act_orders"]) == (["gptq"], [0.1], [True])
    text = {"text": "prose", "sequences": 4, "length": 8}
    assert yaml.safe_load(study_yaml({"settings": {"calibration": text, "dtype": "float32"}}))["calibration"] == text


def test_a_study_that_tells_no_settings_has_no_recipe():
    assert study_yaml({"name": "x", "title": "X"}) == ""
