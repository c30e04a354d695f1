"""A row as JSON and back, without losing a bit: what a journal line holds.

In memory a row is a dict with every column of `kbit.spec.rows`; `samples` is a float32 array, `greedy` a bool array,
`metrics` a list of dicts. As JSON, samples are base64 of little-endian float32, greedy is its length and base64 of its
bits, the first in the highest bit of a byte; other floats are written with the shortest digits that read back equal,
and the three values JSON lacks are the strings nan, inf, -inf. Null columns are left out.
"""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from kbit.spec.errors import UserError
from kbit.spec.rows import COLUMNS, PUBLISHED, ROW_VERSION, SOURCE_PUBLISHED, STATUSES

if TYPE_CHECKING:
    import numpy as np

Row = dict[str, object]

COLUMN_NAMES = frozenset(column.name for column in COLUMNS)
METRIC_FIELDS = ("name", "value", "stderr", "n")


def encode_row(row: Mapping[str, object]) -> dict[str, object]:
    """A row as a JSON value. ValueError names a column that is unknown, missing, or of another type."""
    check_row(row)
    return {
        column.name: ENCODERS.get(column.type, as_it_is)(row[column.name])
        for column in COLUMNS
        if row.get(column.name) is not None
    }


def decode_row(content: Mapping[str, object], where: str) -> Row:
    """The inverse of `encode_row`; columns that an older release did not know are null.

    UserError names the columns that only a newer release knows; `where` is named in it.
    """
    refuse_unknown(content, where)
    return {
        column.name: DECODERS.get(column.type, as_it_is)(content[column.name]) if column.name in content else None
        for column in COLUMNS
    }


def refuse_unknown(columns: Iterable[str], where: str) -> None:
    """UserError if a newer release has written columns that this one would drop."""
    if unknown := [name for name in columns if name not in COLUMN_NAMES]:
        raise UserError(
            f"{where} has columns that this release does not know: {', '.join(unknown)} "
            f"(it reads rows up to version {ROW_VERSION}); use a newer kbit"
        )


def check_row(row: Mapping[str, object]) -> None:
    """ValueError unless every value is of its column's type, and null only in a column that may be."""
    if unknown := set(row) - COLUMN_NAMES:
        raise ValueError(f"a row has no columns {', '.join(sorted(unknown))}")
    is_published = row.get("source") == SOURCE_PUBLISHED
    for column in COLUMNS:
        value = row.get(column.name)
        if value is None and (column.null == "never" or (column.null == PUBLISHED and not is_published)):
            raise ValueError(f"column {column.name} of a row must not be null")
        if value is not None and not has_type(value, column.type):
            raise ValueError(f"column {column.name} of a row takes {column.type}, not {value!r}")
    if row["status"] not in STATUSES:
        raise ValueError(f"status {row['status']!r} is not one of {', '.join(STATUSES)}")


def has_type(value: object, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool)
    if kind in ("int32", "int64"):
        limit = 2 ** (31 if kind == "int32" else 63)
        return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    if kind == "float64":
        return isinstance(value, float)
    if kind == "metrics":
        return isinstance(value, list) and all(set(metric) == set(METRIC_FIELDS) for metric in value)
    # A list or an array, of floats or of bools.
    return hasattr(value, "__len__") and not isinstance(value, str)


def as_it_is(value: object) -> object:
    """Strings, flags and whole numbers are the same in JSON."""
    return value


def encode_float(value: float) -> float | str:
    return float(value) if math.isfinite(value) else repr(float(value))


def decode_float(value: float | str) -> float:
    return float(value)


def encode_samples(samples: Iterable[float]) -> str:
    import numpy as np  # not above: counting finished cells imports this module and needs no arrays

    return base64.b64encode(np.asarray(samples, dtype="<f4").tobytes()).decode("ascii")


def decode_samples(text: str) -> "np.ndarray":
    import numpy as np

    return np.frombuffer(base64.b64decode(text), dtype="<f4")


def encode_flags(flags: Sequence[bool]) -> list[object]:
    import numpy as np

    packed = np.packbits(np.asarray(flags, dtype=bool))
    return [len(flags), base64.b64encode(packed.tobytes()).decode("ascii")]


def decode_flags(content: list[object]) -> "np.ndarray":
    import numpy as np

    length, text = content
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8), count=length).astype(bool)


def encode_metrics(metrics: list[dict]) -> list[list]:
    """Each metric as [name, value, stderr, n]."""
    return [
        [metric["name"], encode_optional(metric["value"]), encode_optional(metric["stderr"]), metric["n"]]
        for metric in metrics
    ]


def decode_metrics(content: list[list]) -> list[dict]:
    return [
        {"name": name, "value": decode_optional(value), "stderr": decode_optional(stderr), "n": n}
        for name, value, stderr, n in content
    ]


def encode_optional(value: float | None) -> float | str | None:
    return None if value is None else encode_float(value)


def decode_optional(value: float | str | None) -> float | None:
    return None if value is None else decode_float(value)


ENCODERS = {
    "float64": encode_float,
    "list<float32>": encode_samples,
    "list<bool>": encode_flags,
    "metrics": encode_metrics,
}
DECODERS = {
    "float64": decode_float,
    "list<float32>": decode_samples,
    "list<bool>": decode_flags,
    "metrics": decode_metrics,
}
