"""`kbit build-requests`: one spec to a named file, or several, each to the file beside it."""

import json

import pytest

from kbit.cli.verbs.rules import build_requests
from kbit.spec.errors import UserError


@pytest.fixture
def specs(tmp_path, task_locator, spec_of):
    paths = [tmp_path / f"{name}.0123456789ab.json" for name in ("ho_piqa", "ho_lambada")]
    for path in paths:
        path.write_text(json.dumps(spec_of(task_locator(path.name.split(".")[0], 2), "neox-32x2")))
    return paths


def test_several_specs_give_what_each_gives_alone(specs, tmp_path):
    build_requests(specs)
    for spec in specs:
        alone = tmp_path / "alone.parquet"
        build_requests([spec], output=alone)
        assert spec.with_suffix(".parquet").read_bytes() == alone.read_bytes()


def test_one_output_is_of_one_spec(specs, tmp_path):
    with pytest.raises(UserError, match="--output names one file, and 2 requests specs are given"):
        build_requests(specs, output=tmp_path / "all.parquet")
