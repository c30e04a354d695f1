"""config/README.md, the user manual, describes every key with its true default, and no other."""

import re
from pathlib import Path

import pytest
import yaml

from kbit.spec import members
from kbit.spec.calibration import CalibrationConfig
from kbit.spec.grid import GridConfig
from kbit.spec.hardware import Hardware
from kbit.spec.models import ModelEntry
from kbit.spec.study import StudyConfig, TaskChoice
from kbit.spec.tasks import TaskEntry
from kbit.spec.text import TextConfig

MANUAL = (Path(__file__).parents[2] / "config" / "README.md").read_text(encoding="utf-8")
TABLES = MANUAL.split("| key | default | meaning |\n|---|---|---|\n")[1:]
SECTIONS = (StudyConfig, TaskChoice, CalibrationConfig, GridConfig, ModelEntry, TaskEntry, TextConfig, Hardware)


def rows(table):
    """Key -> default as written, of the table's rows."""
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", table.split("\n\n")[0], re.MULTILINE))


def test_there_is_a_table_for_every_section():
    assert len(TABLES) == len(SECTIONS)


@pytest.mark.parametrize(
    ("section", "table"), list(zip(SECTIONS, TABLES, strict=True)), ids=lambda value: getattr(value, "__name__", "")
)
def test_every_key_is_described_with_its_default(section, table):
    described = rows(table)
    assert list(described) == list(section.model_fields)
    for name, field in section.model_fields.items():
        if field.is_required():
            assert described[name] == "required", name
        elif described[name].startswith("`"):
            stated = yaml.safe_load(described[name].strip("`"))
            default = field.get_default(call_default_factory=True)
            assert stated == (list(default) if isinstance(default, tuple) else default), name
        else:  # TaskChoice.item_limit: null means that of the study
            assert (section, name) == (TaskChoice, "item_limit")


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("data_types", [name for name in members.DATA_TYPES if name != "none"]),
        ("scale_formats", [name for name, member in members.SCALE_FORMATS.items() if not member.is_owned]),
        ("solvers", members.SOLVERS),
        ("rotations", members.ROTATIONS),
        ("outlier_rules", members.OUTLIER_RULES),
    ],
)
def test_every_member_is_named(key, names):
    line = next(line for line in TABLES[SECTIONS.index(GridConfig)].splitlines() if line.startswith(f"| `{key}`"))
    assert [name for name in names if f"`{name}`" not in line] == []
