"""No file of a study can make `kbit` run code that comes with a model: only the command line can."""

import json
import shutil
from pathlib import Path

import pytest

from kbit.spec.errors import UserError
from kbit.spec.models import ModelEntry, ModelsFile, resolve_model
from kbit.spec.section import load_section
from kbit.spec.study import StudyConfig
from kbit.spec.tasks import TasksFile

ROOT = Path(__file__).parents[2]
GRID = "{data_types: [int], bits: [4], block_sizes: [64]}"
STUDY = f"{{name: s, title: S, models: [m], tasks: [{{name: t}}], dtype: float32, grids: [{GRID}]}}"
MODELS = "{models: [{name: m, family: F, path: m}]}"
TASK = "{name: t, kind: zero-shot, metric: acc, chance: 0.5, version: '1', yaml_file: t.yaml, data_files: [t.jsonl]}"
TASKS = f"{{tasks: [{TASK}]}}"


@pytest.mark.parametrize(
    ("kind", "text", "section"),
    [
        (StudyConfig, STUDY, "{name: s"),
        (StudyConfig, STUDY, "{data_types"),
        (StudyConfig, STUDY, "{name: t"),
        (ModelsFile, MODELS, "{models"),
        (ModelsFile, MODELS, "{name: m"),
        (TasksFile, TASKS, "{tasks"),
        (TasksFile, TASKS, "{name: t"),
    ],
)
def test_trust_is_an_unknown_key_everywhere(kind, text, section, tmp_path):
    file = tmp_path / "file.yaml"
    file.write_text(text, encoding="utf-8")
    load_section(kind, file)
    file.write_text(text.replace(section, f"{{trust_remote_code: true, {section[1:]}"), encoding="utf-8")
    with pytest.raises(UserError, match=r"file\.yaml: .*unknown key 'trust_remote_code'") as caught:
        load_section(kind, file)
    assert "\n" not in str(caught.value)


def test_code_that_a_local_model_asks_to_run_is_part_of_its_identity(tmp_path):
    """Where it is trusted it can change every score; where the model asks for none a script is no matter."""
    folder = Path(shutil.copytree(ROOT / "data/models/gpt2-32x2", tmp_path / "own"))

    def identity() -> tuple[str, str]:
        model = resolve_model(ModelEntry(name="own", family="F", path="own"), tmp_path / "models.yaml")
        return model.model_id, model.tokenizer_id

    plain = identity()
    (folder / "modeling_own.py").write_text("x = 1\n")
    assert identity() == plain
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "modeling_own.OwnConfig"}}))
    first = identity()
    (folder / "modeling_own.py").write_text("x = 22\n")
    assert not {*identity()} & {*first}
