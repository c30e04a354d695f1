"""What a part's file says of itself in its footer, which is read without its rows (docs/looking-after-results.md).

The process that wrote the file and those that evaluated its rows may be strangers: rows are taken over from journals,
however old. So the footer states the first and, in `sources`, each of the others once.
"""

import hashlib
import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import kbit
from kbit.evaluation.provenance import CHECKOUT, git_commit, package_versions, place, utc_now
from kbit.store.rows import Row
from kbit.store.shard_file import ShardFile

WRITING_PACKAGES = ("pyarrow", "polars")
SOURCE_COLUMNS = (
    "slurm_job_id",
    "node",
    "host",
    "device",
    "gpus",
    "gpu_uuids",
    "driver_version",
    "cuda_version",
    "threads",
    "git_commit",
    "kbit_version",
    "torch_version",
    "transformers_version",
    "lm_eval_version",
    "package_versions",
)
"""Columns of a row that say by whom it was evaluated."""


def part_metadata(shard: ShardFile, shard_file: Path, rows: Sequence[Row], began_at: str) -> dict[str, str]:
    """Key -> value; what is null (a Slurm job where there was none) is left out.

    config_digest is the SHA-256 of the shard file: a part belongs to no study, so these bytes are its whole config.
    """
    values = {
        "model_id": shard.model_id,
        "slice": shard.slice_name,
        "key": shard.key,
        "config_digest": hashlib.sha256(shard_file.read_bytes()).hexdigest(),
        **place(),
        "command": shlex.join(sys.argv),
        "began_at": began_at,
        "written_at": utc_now(),
        "version": kbit.__version__,
        "git_commit": git_commit(CHECKOUT),
        "package_versions": package_versions(WRITING_PACKAGES),
        "sources": json.dumps(sources(rows)),
    }
    return {key: value for key, value in values.items() if value is not None}


def sources(rows: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Who evaluated rows: each combination of the columns above once, with its count of cells and when they started."""
    starts: dict[tuple[object, ...], list[str]] = {}
    for row in rows:
        starts.setdefault(tuple(row[column] for column in SOURCE_COLUMNS), []).append(row["started_at"])
    found = [
        {**dict(zip(SOURCE_COLUMNS, key, strict=True)), "cells": len(times), "first": min(times), "last": max(times)}
        for key, times in starts.items()
    ]
    for source in found:
        # JSON in a row, which has columns of one type; here it stands as what it is.
        source["package_versions"] = json.loads(source["package_versions"] or "null")
    return sorted(found, key=lambda source: source["first"])
