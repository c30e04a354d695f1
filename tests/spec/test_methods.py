"""docs/methods.md says what the lists of members and the measurements say; config/methods.yaml has them all."""

import json
from pathlib import Path

import pytest

from kbit.spec import members
from kbit.spec.methods import FAMILIES, all_specs, methods_of
from kbit.spec.methods_document import ABSENT, MEASURED, methods_document, paper_bits
from kbit.spec.quant import QuantSpec
from kbit.spec.study import load_study

ROOT = Path(__file__).parents[2]
REGENERATE = "python -m kbit.spec.methods_document > docs/methods.md"


@pytest.fixture(scope="module")
def measured():
    return json.loads((ROOT / MEASURED).read_text())


def test_document_is_in_step(measured):
    written = (ROOT / "docs" / "methods.md").read_text()
    assert written == methods_document(measured), f"docs/methods.md is out of date: run `{REGENERATE}`"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.field)
def test_every_built_member_has_methods(family):
    built = {name for name, member in family.members.items() if member.built} - (
        {"none"} if family.field == "data_type" else set()
    )
    assert {method.member for method in methods_of(family)} == built
    for method in methods_of(family):
        for spec in method.specs:
            assert getattr(spec, family.field) == method.member


def test_the_families_are_all_there_are():
    """A family that is added to the lists of members is missing here until it is listed."""
    lists = [name for name in members.__all__ if name.isupper()]
    assert sorted(lists) == sorted(
        ["DATA_TYPES", "SCALE_FORMATS", "SOLVERS", "CENTERINGS", "OUTLIER_RULES", "ROTATIONS"]
    )
    assert len(FAMILIES) == len(lists)


def test_the_study_evaluates_every_method():
    study = load_study(ROOT / "config" / "methods.yaml")
    planned = {spec.slug for grid in study.config.grids for spec in grid.specs()}
    missing = sorted({spec.slug for spec in all_specs()} - planned)
    assert missing == [], "add them to config/methods.yaml"


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({"data_type": "int", "block_size": 64}, "4.25"),
        ({"data_type": "int", "block_size": 64, "scale_format": "dq"}, "4.127"),
        ({"data_type": "kmeans-row", "block_size": 64}, "4.312"),
        ({"data_type": "nvfp4", "block_size": 16}, "4.5"),
        ({"data_type": "int", "block_size": 64, "outlier_fraction": 0.02}, "4.49"),
    ],
    ids=["16/B", "QLoRA", "16 levels a row", "8/16", "p (16 - k)"],
)
def test_bits_of_the_document(options, bits):
    """k + 16/64; k + 8/64 + 32/(64 x 256); + 16 x 16 / 4096 for a table per row; k + 8/16; + 0.02 x 12."""
    assert f"{paper_bits(QuantSpec(bits=4, **options)):.4g}" == bits


def test_what_was_not_measured_stays_empty(measured):
    without = {**measured, "specs": {}}
    rows = [line for line in methods_document(without).splitlines() if line.startswith("| int |")]
    assert rows == [f"| int | 4.25 | {ABSENT} | {ABSENT} | {ABSENT} | {ABSENT} | {ABSENT} |"]
