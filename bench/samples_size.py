"""What per-item log-likelihoods take on disk: bytes of one item in real parts, and of the paper's whole study.

    make study && python bench/samples_size.py [FOLDER OF PARTS]        (some seconds)

Every part is written anew as this version writes it, and once more with zstd alone, which is what Parquet writers do
when nothing is said; sizes are those of the column chunks in the files' own metadata. Writes
bench/results/samples_size.json.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from kbit.plan.plan import plan_study
from kbit.spec.errors import UserError
from kbit.store.parts import part_rows, read_part, write_part
from kbit.store.rows import Row, encode_row

PAIRS = 7_000
"""Model x spec pairs of the paper's study."""
CONTINUATIONS = {"lambada_openai": 5_153, "winogrande": 2 * 1_267, "hellaswag": 4 * 10_042, "piqa": 2 * 1_838}
"""Continuations that one pair scores, by task."""
LIMIT_BYTES = 3_000_000_000
PLAN = Path("config/paper.yaml")
RESULTS = Path("bench/results/samples_size.json")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/parts")
    parts = sorted(folder.glob("*/*.parquet"))
    if not parts:
        sys.exit(f"{folder} holds no part: run `make study` first")
    sizes = measure(parts)
    result = {"measured": sizes, "study": extrapolate(sizes)}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    print(sentence(result["study"]))


def measure(parts: Iterable[Path]) -> dict[str, float]:
    """Bytes of an item and of a cell, over all parts together."""
    total: Counter[str] = Counter()
    with TemporaryDirectory() as scratch:
        written, plain = Path(scratch, "part.parquet"), Path(scratch, "plain.parquet")
        for part in parts:
            rows = part_rows(read_part(part))
            write_part(rows, written, {})
            pq.write_table(pq.read_table(written), plain, compression="zstd")
            total += Counter(
                parts=1,
                cells=len(rows),
                items=sum(len(row["samples"]) for row in rows if row["samples"] is not None),
                flags=sum(len(row["greedy"]) for row in rows if row["greedy"] is not None),
                file=written.stat().st_size,
                samples=column_bytes(written, "samples"),
                greedy=column_bytes(written, "greedy"),
                plain_samples=column_bytes(plain, "samples"),
                footer=written.stat().st_size - column_bytes(written, ""),
                journal=journal_bytes(rows),
                journal_others=journal_bytes([{**row, "samples": None, "greedy": None} for row in rows]),
            )
    return summarize(total)


def column_bytes(part: Path, prefix: str) -> int:
    """Compressed bytes of the columns whose name starts so."""
    metadata = pq.ParquetFile(part).metadata
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    columns = [group.column(index) for group in groups for index in range(group.num_columns)]
    return sum(column.total_compressed_size for column in columns if column.path_in_schema.startswith(prefix))


def journal_bytes(rows: Iterable[Row]) -> int:
    """Bytes of the rows as a journal's lines hold them, the lines' own time and checksum left out."""
    return sum(len(json.dumps(encode_row(row), ensure_ascii=False).encode()) for row in rows)


def summarize(total: Counter[str]) -> dict[str, float]:
    others = total["file"] - total["samples"] - total["greedy"] - total["footer"]
    return {
        "parts": total["parts"],
        "cells": total["cells"],
        "items": total["items"],
        "samples_bytes_per_item": total["samples"] / total["items"],
        "samples_bytes_per_item_zstd_alone": total["plain_samples"] / total["items"],
        "greedy_bytes_per_item": total["greedy"] / total["flags"],
        "other_columns_bytes_per_cell": others / total["cells"],
        "footer_bytes_per_part": total["footer"] / total["parts"],
        "part_bytes_per_cell": total["file"] / total["cells"],
        "journal_bytes_per_item": (total["journal"] - total["journal_others"]) / total["items"],
        "journal_other_bytes_per_cell": total["journal_others"] / total["cells"],
    }


def extrapolate(sizes: dict[str, float]) -> dict[str, float]:
    """Bytes of all parts of the paper's study: its items, and its own number of cells and parts."""
    items = PAIRS * sum(CONTINUATIONS.values())
    plan = plan_study(PLAN)
    bytes_of = {
        "samples": items * sizes["samples_bytes_per_item"],
        "greedy": items * sizes["greedy_bytes_per_item"],
        "other_columns": len(plan.cells) * sizes["other_columns_bytes_per_cell"],
        "footers": len(plan.shards) * sizes["footer_bytes_per_part"],
    }
    return {
        "pairs": PAIRS,
        "continuations": sum(CONTINUATIONS.values()),
        "items": items,
        "planned_pairs": len({(cell.model.model_id, cell.spec) for cell in plan.cells}),
        "planned_cells": len(plan.cells),
        "planned_parts": len(plan.shards),
        **{f"{name}_bytes": round(value) for name, value in bytes_of.items()},
        "bytes": round(sum(bytes_of.values())),
        "greedy_bytes_uncompressed": items // 8,
        "journal_bytes": round(
            items * sizes["journal_bytes_per_item"] + len(plan.cells) * sizes["journal_other_bytes_per_cell"]
        ),
        "limit_bytes": LIMIT_BYTES,
    }


def sentence(study: dict[str, float]) -> str:
    total = study["bytes"]
    verdict = "under" if total < LIMIT_BYTES else "NOT under"
    return (
        f"{study['pairs']:,} pairs x {study['continuations']:,} continuations = {study['items']:,} items: "
        f"{study['samples_bytes'] / 1e9:.2f} GB of log-likelihoods, {total / 1e9:.2f} GB of parts in all, "
        f"{verdict} {LIMIT_BYTES / 1e9:.0f} GB"
    )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
