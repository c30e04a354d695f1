"""How a single cell is evaluated anew: a study of that cell alone, as YAML.

The page puts it together from three pieces, so that 38,000 cells need not be written out: what the study says (files,
dtype, token budget), the grid of the spec, and the names of model and task with the task's item limit.
"""

import json
from collections.abc import Mapping

import polars as pl

GRID_KEYS = {
    "data_type": "data_types",
    "bits": "bits",
    "block_size": "block_sizes",
    "centered": "centered",
    "outlier_fraction": "outlier_fractions",
    "outlier_rule": "outlier_rules",
    "scale_format": "scale_formats",
    "solver": "solvers",
    "rotation": "rotations",
    "damping": "dampings",
    "act_order": "act_orders",
}
"""Column of a row -> key of a grid (kbit/spec/grid.py), which lists values."""
STUDY_KEYS = ("models_files", "tasks_files", "dtype", "token_budget", "calibration")
"""Keys of a study that a study of one cell takes over (kbit/spec/study.py)."""


def spec_recipes(cells: pl.DataFrame, points: pl.DataFrame) -> list[str]:
    """The `grids:` of a study of one spec, for every point; empty for the 16-bit control, which needs none."""
    columns = [name for name in ("spec", "exponent_bits", *GRID_KEYS) if name in cells.columns]
    rows = cells.select(columns).unique("spec", keep="first", maintain_order=True)
    recipes = {row["spec"]: grid_yaml(row) for row in rows.to_dicts()}
    return [recipes[spec] for spec in points["spec"]]


def grid_yaml(row: Mapping[str, object]) -> str:
    """One grid of one spec; keys whose column is null are left to their defaults."""
    if row["data_type"] == "none":
        return ""
    lines = [f"{key}: [{yaml_value(row[column])}]" for column, key in GRID_KEYS.items() if row.get(column) is not None]
    if row["exponent_bits"] is not None:
        lines.append(f"exponent_bits: {{{row['bits']}: [{row['exponent_bits']}]}}")
    return "grids:\n  - " + "\n    ".join(lines) + "\n"


def yaml_value(value: object) -> str:
    """Numbers bare, words quoted as JSON quotes them, which YAML reads alike; block sizes are text in rows."""
    if isinstance(value, str) and value.isdigit():
        return value
    return json.dumps(value)


def study_yaml(study: Mapping[str, object]) -> str:
    """What every study of one cell begins with; empty where the study does not tell its settings."""
    settings = study.get("settings")
    if not settings:
        return ""
    chosen = {key: settings[key] for key in STUDY_KEYS if settings.get(key) is not None}
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in chosen.items())
