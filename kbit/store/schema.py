"""The row schema as Arrow knows it, made from the columns that `kbit.spec.rows` documents."""

import polars as pl
import pyarrow as pa

from kbit.spec.rows import COLUMNS

METRIC = pa.struct(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("stderr", pa.float64()),
        pa.field("n", pa.int32()),
    ]
)

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "list<float32>": pa.list_(pa.float32()),
    "list<bool>": pa.list_(pa.bool_()),
    "metrics": pa.list_(METRIC),
}
"""Type words of `kbit.spec.rows.Column` -> Arrow types."""


def arrow_schema() -> pa.Schema:
    """The columns of a part, in order, with their description as field metadata."""
    return pa.schema(
        [
            pa.field(
                column.name,
                ARROW_TYPES[column.type],
                nullable=column.null != "never",
                metadata={"description": column.description, "unit": column.unit, "null": column.null},
            )
            for column in COLUMNS
        ]
    )


SCHEMA = arrow_schema()


def polars_schema() -> pl.Schema:
    """The same columns as a polars frame shows them."""
    return pl.from_arrow(SCHEMA.empty_table()).schema
