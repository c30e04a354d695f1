"""Rows to store, and a hypothesis strategy for any row the schema allows."""

import math
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import strategies as st

from kbit.spec.rows import COLUMNS, PUBLISHED, STATUSES

SCALARS = {
    "string": st.text(max_size=12),
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(),
    "list<float32>": st.lists(st.integers(0, 2**32 - 1), max_size=8).map(
        lambda bits: np.array(bits, dtype="<u4").view("<f4")  # every bit pattern: payloads of NaN, -0.0, subnormals
    ),
    "list<bool>": st.lists(st.booleans(), max_size=20).map(lambda flags: np.array(flags, dtype=bool)),
    "metrics": st.lists(
        st.fixed_dictionaries(
            {
                "name": st.text(max_size=8),
                "value": st.none() | st.floats(),
                "stderr": st.none() | st.floats(),
                "n": st.none() | st.integers(0, 2**31 - 1),
            }
        ),
        max_size=3,
    ),
}


def any_row(cell_id: str) -> st.SearchStrategy[dict]:
    columns = {
        column.name: SCALARS[column.type] if column.null in ("never", PUBLISHED) else st.none() | SCALARS[column.type]
        for column in COLUMNS
    }
    return st.fixed_dictionaries({**columns, "cell_id": st.just(cell_id), "status": st.sampled_from(STATUSES)})


def bits(value: object) -> object:
    """A value in a form whose equality is equality of bits (but for the payload of a float64 NaN)."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind, value.tobytes()
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, list):
        return [bits(item) for item in value]
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    return value


@pytest.fixture(scope="session")
def row_strategy() -> Callable[[str], st.SearchStrategy[dict]]:
    return any_row


@pytest.fixture(scope="session")
def row_bits() -> Callable[[object], object]:
    return bits


@pytest.fixture
def make_row() -> Callable[..., dict]:
    """A row with plausible values in every column; keywords replace them."""
    plausible = {
        "string": "text",
        "int32": 3,
        "int64": 2**40,
        "float64": 0.1,
        "metrics": [{"name": "acc", "value": 0.5, "stderr": 0.05, "n": 100}],
    }
    values = {column.name: plausible.get(column.type) for column in COLUMNS}
    values["samples"] = np.array([-1.5, -0.0, np.nan, -np.inf], dtype="<f4")
    values["greedy"] = np.array([True, True, False, False])

    def make(cell_id: str, status: str = "ok", **changes: object) -> dict:
        return {**values, "cell_id": cell_id, "status": status, **changes}

    return make
