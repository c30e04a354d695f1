"""`docs/rows.md`: what every column of a row means. `python -m kbit.spec.rows_document > docs/rows.md` writes it."""

import sys

from kbit.spec.rows import COLUMNS, FINAL_STATUSES, ROW_VERSION, STATUSES, Column

HEAD = """\
# Rows

Generated from `kbit/spec/rows.py` by `python -m kbit.spec.rows_document > docs/rows.md`; a test keeps it in step.

Every evaluated cell (model, quantization spec, task) leaves one row. Rows stand in the journals
(`results/journal/<model>/*.jsonl`, one JSON line per event with a CRC32 in front) and, as a view of these, in the parts
(`results/parts/<model>/<slice>.<key>.parquet`, sorted by `cell_id`). This is row version {version}.
Columns that an older part lacks read as null; columns that only a newer release knows are refused by name.

Statuses: {statuses}. Final are {final}; a `failed` row is never taken over, its cell is tried again
whenever its shard runs.

`metrics` is a list of structs: `name`, `value` (unit by name: `acc` and `acc_norm` are shares, `nats_per_*` are nats),
`stderr` (standard error, null if unknown), `n` (items).

"""


def rows_document() -> str:
    """The document, with one table row per column."""
    head = HEAD.format(
        version=ROW_VERSION,
        statuses=", ".join(f"`{status}`" for status in STATUSES),
        final=", ".join(f"`{status}`" for status in FINAL_STATUSES),
    )
    lines = [
        "| column | type | unit | meaning | null when |",
        "| --- | --- | --- | --- | --- |",
        *map(table_line, COLUMNS),
    ]
    return head + "\n".join(lines) + "\n"


def table_line(column: Column) -> str:
    cells = (f"`{column.name}`", f"`{column.type}`", column.unit, column.description, column.null)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(rows_document())
