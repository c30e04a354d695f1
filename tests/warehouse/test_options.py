"""The column `options` says of a spec what its slug says."""

import polars as pl
import pytest

from kbit.spec.quant import CALIBRATED_FIELDS, CONTROL, QuantSpec
from kbit.warehouse.cells import options_of_spec

COLUMNS = (
    "data_type",
    "centered",
    "outlier_fraction",
    "outlier_rule",
    "scale_format",
    "solver",
    "rotation",
    *CALIBRATED_FIELDS,
)
SPECS = [
    CONTROL,
    QuantSpec(data_type="int", bits=4, block_size=64),
    QuantSpec(data_type="bof-s", bits=4, block_size=64, scale_format="e4m3"),
    QuantSpec(data_type="int", bits=4, block_size=64, scale_format="dq", centered="block", outlier_fraction=0.02),
    # What a standard brings along is no option: figures show the data type beside those at their defaults.
    QuantSpec(data_type="mxfp4", bits=4, block_size=32),
    QuantSpec(data_type="nvfp4", bits=4, block_size=16),
    QuantSpec(data_type="int", bits=3, block_size=64, solver="gptq", calibration="128x256-0"),
    QuantSpec(data_type="int", bits=3, block_size=64, solver="gptq", damping=0.1, act_order=True, rotation="hadamard"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.slug)
def test_options_are_those_of_the_slug(spec: QuantSpec) -> None:
    row = pl.DataFrame([spec.model_dump(include=set(COLUMNS))])
    assert row.select(options_of_spec()).item() == "-".join(spec.options)
