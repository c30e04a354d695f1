"""The JSON schemas in workflow/schemas are those of the classes that read the config."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from kbit.spec.schemas import REGENERATE, SCHEMAS, schema_text

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "workflow" / "schemas"
CONFIG = ROOT / "config"


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_in_step(name):
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert committed == schema_text(SCHEMAS[name]), f"workflow/schemas/{name} is out of date: run `{REGENERATE}`"


def test_no_schema_without_a_class():
    assert {file.name for file in FOLDER.glob("*.json")} == set(SCHEMAS)


def kind_of(file):
    # models.yaml, smollm-models.yaml: data sheets; anything else is a study.
    return next((f"{kind}.json" for kind in ("models", "tasks") if file.stem.endswith(kind)), "study.json")


@pytest.mark.parametrize("file", sorted(CONFIG.glob("*.yaml")), ids=lambda file: file.name)
def test_shipped_config_fits_its_schema(file):
    # Through JSON, as an editor sees it: the keys of exponent_bits are strings there.
    content = json.loads(json.dumps(yaml.safe_load(file.read_text(encoding="utf-8"))))
    schema = json.loads((FOLDER / kind_of(file)).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(content)


def test_schema_refuses_an_unknown_key():
    schema = json.loads((FOLDER / "study.json").read_text(encoding="utf-8"))
    content = yaml.safe_load((CONFIG / "paper.yaml").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError, match="block_sises"):
        jsonschema.validate({**content, "block_sises": [64]}, schema)
