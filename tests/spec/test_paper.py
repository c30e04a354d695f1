"""config/paper.yaml is the whole study of the paper, counted here from its YAML by multiplication alone."""

from fnmatch import fnmatchcase
from math import ceil, prod
from pathlib import Path

import pytest
import yaml

from kbit.plan.cells import expand_cells
from kbit.spec.study import load_study

CONFIG = Path(__file__).parents[2] / "config"
PAPER = yaml.safe_load((CONFIG / "paper.yaml").read_text(encoding="utf-8"))
NAMES = [entry["name"] for entry in yaml.safe_load((CONFIG / "models.yaml").read_text(encoding="utf-8"))["models"]]
MAIN, EXPONENTS, CENTERING, PROXY = PAPER["grids"]
WIDTHS = range(3, 9)


@pytest.fixture(scope="module")
def study():
    return load_study(CONFIG / "paper.yaml")


@pytest.fixture(scope="module")
def cells(study):
    return expand_cells(study)


def count_models(patterns):
    return sum(any(fnmatchcase(name, pattern) for pattern in patterns) for name in NAMES)


def count_specs(grid):
    """Data types without exponent bits times widths, plus the exponents of float; times every other list."""
    exponents = sum(len(grid["exponent_bits"][bits]) for bits in grid["bits"]) if "float" in grid["data_types"] else 0
    per_option = len([name for name in grid["data_types"] if name != "float"]) * len(grid["bits"]) + exponents
    return per_option * prod(len(grid.get(key, [0])) for key in ("block_sizes", "centered", "outlier_fractions"))


def test_number_of_cells(cells):
    models, opt = count_models(PAPER["models"]), count_models(EXPONENTS["models"])
    # The exponent study repeats, at block 64, the exponents of the main grid: those cells are evaluated once.
    repeated = sum(len(MAIN["exponent_bits"][bits]) for bits in EXPONENTS["bits"])
    specs = 1 + count_specs(MAIN) + count_specs(CENTERING) + count_specs(PROXY)
    expected = len(PAPER["tasks"]) * (models * specs + opt * (count_specs(EXPONENTS) - repeated))
    assert len({cell.cell_id for cell in cells}) == len(cells) == expected
    assert expected >= 35_000


def test_every_size_of_the_five_families(study):
    sizes = {"OPT": 8, "Pythia": 9, "GPT-2": 4, "BLOOM": 6, "BLOOMZ": 6}
    families = [model.family for model in study.models]
    assert {family: families.count(family) for family in families} == sizes


def test_the_main_grid_is_the_papers():
    assert MAIN["data_types"] == ["int", "float", "dynamic", "quantile"]
    assert MAIN["bits"] == list(WIDTHS)
    assert MAIN["block_sizes"] == [64, 128, 256, 512, 1024, "tensor"]
    assert "models" not in MAIN
    assert "tasks" not in MAIN


@pytest.mark.parametrize("grid", [MAIN, CENTERING, PROXY], ids=["main", "centering", "proxy"])
def test_exponents_of_main_text_and_appendix(grid):
    main_text = {3: 2, 4: 3, 5: 3, 6: 3, 7: 3, 8: 3}
    for bits in grid["bits"]:
        assert set(grid["exponent_bits"][bits]) == {main_text[bits], ceil(bits / 2)}


def test_the_exponent_study_has_every_legal_exponent():
    assert EXPONENTS["exponent_bits"] == {bits: list(range(1, min(bits - 1, 6) + 1)) for bits in WIDTHS}
    assert (EXPONENTS["models"], EXPONENTS["block_sizes"]) == (["opt-*"], [64])


def test_centering_and_proxy():
    assert CENTERING["centered"] == ["tensor", "block"]
    assert (PROXY["outlier_fractions"], PROXY["bits"]) == ([0.02], [3, 4])


def test_four_zero_shot_tasks_and_perplexity_at_16_bits(study):
    assert [task.kind for task in study.tasks] == ["zero-shot"] * 4 + ["perplexity"]
    assert [task.name for task in study.tasks[:4]] == ["lambada_openai", "winogrande", "hellaswag", "piqa"]
    assert study.config.dtype == "float16"
    assert study.config.baseline
