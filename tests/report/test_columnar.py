"""What the page decodes is the frame."""

import base64
import gzip
import json
import math

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from kbit.report.columnar import SIGNIFICANT_DIGITS, compress, encode_frame, round_float

ROWS = st.lists(
    st.tuples(
        st.none() | st.text(max_size=4),
        st.none() | st.integers(-(2**53), 2**53),  # the page's numbers are doubles
        st.none() | st.floats(),
        st.none() | st.booleans(),
    )
)


def decode(column: object) -> list:
    """What page/decode.js does."""
    if isinstance(column, list):
        return column
    return [None if code is None else column["dictionary"][code] for code in column["codes"]]


@settings(deadline=None)  # times of a machine that others use say nothing
@given(ROWS)
def test_columns_come_back(rows):
    frame = pl.DataFrame(rows, schema={"s": pl.String, "i": pl.Int64, "f": pl.Float64, "b": pl.Boolean}, orient="row")
    content = json.loads(gzip.decompress(base64.b64decode(compress(encode_frame(frame)))))
    assert content["n"] == frame.height
    decoded = {name: decode(column) for name, column in content["columns"].items()}
    for name in ("s", "i", "b"):
        assert decoded[name] == frame[name].to_list()
    for got, given_value in zip(decoded["f"], frame["f"].to_list(), strict=True):
        if given_value is None or not math.isfinite(given_value):
            assert got is None
        else:
            # Half a unit of the last kept digit; below the smallest normal double there are fewer digits to keep.
            assert math.isclose(got, given_value, rel_tol=0.5 * 10.0 ** (1 - SIGNIFICANT_DIGITS), abs_tol=1e-307)


def test_strings_are_stored_once():
    frame = pl.DataFrame({"model": ["a-long-name", None, "a-long-name"]})
    assert encode_frame(frame)["columns"]["model"] == {"dictionary": ["a-long-name"], "codes": [0, None, 0]}


def test_strings_that_do_not_repeat_have_no_dictionary():
    frame = pl.DataFrame({"id": ["0af", "1b2", None, "0af", "3c3"]})
    assert encode_frame(frame)["columns"]["id"] == ["0af", "1b2", None, "0af", "3c3"]


def test_same_content_same_text():
    assert compress({"a": [1, 2.5, None, "ü"]}) == compress({"a": [1, 2.5, None, "ü"]})


def test_rounding_keeps_seven_digits():
    assert round_float(1.23456789) == 1.234568
    assert round_float(float("inf")) is None
