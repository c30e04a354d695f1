"""A requests file, or the spec it is built from: readable, and the digest in its name that of its content."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kbit.spec.requests import REQUESTS_HEADER, digest_requests
from kbit.upkeep.finding import Finding
from kbit.upkeep.verify.records import drop


def check_requests_file(path: Path) -> Iterator[Finding]:
    """The columns are read through, the checksum of every page with them; files of older releases have none."""
    remedy = f"{drop(path)} and run the study again: it is built anew"
    try:
        header = read_spec(path) if path.suffix == ".json" else read_header(path)
        digest = digest_requests(header["task_identity"], header["tokenizer_id"], header["requests_version"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        yield Finding("problem", f"requests {path} cannot be read ({' '.join(str(error).split())[:120]})", remedy)
        return
    if path.stem.rpartition(".")[2] != digest:
        yield Finding("problem", f"requests {path} hold what has the digest {digest}, not that of their name", remedy)


def read_spec(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def read_header(path: Path) -> dict:
    table = pq.read_table(path, partitioning=None, page_checksum_verification=True)
    return json.loads((table.schema.metadata or {})[REQUESTS_HEADER])
