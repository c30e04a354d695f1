"""JSON schemas of the config files, generated from the classes that read them, for editors and other readers.

`python -m kbit.spec.schemas` writes them into workflow/schemas/ of a checkout.
"""

import json
from pathlib import Path

from kbit.spec.hardware import Hardware
from kbit.spec.models import ModelsFile
from kbit.spec.published import SourceConfig
from kbit.spec.section import Section
from kbit.spec.study import StudyConfig
from kbit.spec.tasks import TasksFile

FOLDER = Path("workflow/schemas")
REGENERATE = "python -m kbit.spec.schemas"

SCHEMAS: dict[str, type[Section]] = {
    "study.json": StudyConfig,
    "models.json": ModelsFile,
    "tasks.json": TasksFile,
    "hardware.json": Hardware,
    "published.json": SourceConfig,
}


def schema_text(kind: type[Section]) -> str:
    """The JSON schema (draft 2020-12) of a config file, as the text of its file."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **kind.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> None:
    """Write every schema into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in SCHEMAS.items():
        (folder / name).write_text(schema_text(kind), encoding="utf-8")


if __name__ == "__main__":
    write_schemas(FOLDER)
