"""The synthetic study, built once per process and shared with tests/browser."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from kbit.report.render import read_fits
from kbit.warehouse import read_table


def load_synthetic_study() -> ModuleType:
    """The module beside this file, under one name wherever it is loaded from, so that its cache is shared."""
    name = "kbit_tests_synthetic_study"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("synthetic_study.py"))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    return load_synthetic_study()


@pytest.fixture(scope="session")
def study_files(synthetic: ModuleType) -> tuple[Path, Path]:
    """(folder of tables, fits.parquet)"""
    return synthetic.built_study()


@pytest.fixture(scope="session")
def frames(study_files: tuple[Path, Path]) -> dict[str, pl.DataFrame]:
    return {name: read_table(study_files[0], name) for name in ("cells", "scores", "points", "models")}


@pytest.fixture(scope="session")
def fits(study_files: tuple[Path, Path]) -> pl.DataFrame:
    return read_fits(study_files[1])
