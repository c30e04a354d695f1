"""The requests file: Parquet, one row per request, self-contained: jobs load no data set and need no network."""

import datetime
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kbit.evaluation.requests import Requests
from kbit.spec.errors import UserError
from kbit.spec.requests import REQUESTS_HEADER as HEADER
from kbit.spec.requests import REQUESTS_VERSION
from kbit.store.atomic import write_bytes

SCHEMA = pa.schema(
    [
        pa.field("doc", pa.int32(), nullable=False),  # number of the document (item), from 0
        pa.field("choice", pa.int32(), nullable=False),  # number of the request within its document, from 0
        pa.field("context", pa.list_(pa.int32()), nullable=False),  # token ids given
        pa.field("continuation", pa.list_(pa.int32()), nullable=False),  # token ids scored
        pa.field("document", pa.string()),  # the document as JSON, in its first row only
    ]
)


def write_requests(requests: Requests, path: Path) -> None:
    """Write the file whole or not at all."""
    starts = first_rows(requests.doc)
    documents = [None] * len(requests)
    for start, doc in zip(starts, requests.docs, strict=True):
        documents[start] = to_json(doc, requests.task)
    choice = np.arange(len(requests)) - np.repeat(starts, np.diff([*starts, len(requests)]))
    columns = [
        requests.doc,
        choice.astype(np.int32),
        token_lists(requests.contexts),
        token_lists(requests.continuations),
        documents,
    ]
    header = {HEADER: to_json(requests.header, requests.task).encode()}
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)],
        SCHEMA.with_metadata(header),
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    write_bytes(path, sink.getvalue().to_pybytes())


def first_rows(doc: np.ndarray) -> np.ndarray:
    """Index of the first request of each document."""
    return np.flatnonzero(np.diff(doc, prepend=-1))


def to_json(value: object, task: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=to_plain)
    except TypeError as error:
        raise UserError(f"task {task!r}: an item's document is not plain data: {error}") from None


def to_plain(value: object) -> str:
    """JSON lines turn into dates what looks like one (C4's column `timestamp`); a stored document has text there."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} {value!r:.80} is none of JSON's types")


def token_lists(tokens: list[np.ndarray]) -> pa.ListArray:
    offsets = np.cumsum([0, *map(len, tokens)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, np.concatenate(tokens).astype(np.int32))


def read_requests_file(path: Path) -> Requests:
    table = read_table(path)
    header = json.loads(table.schema.metadata[HEADER])
    if header["requests_version"] != REQUESTS_VERSION:
        raise UserError(
            f"{path} has version {header['requests_version']} of requests, this software {REQUESTS_VERSION}: rm {path}"
        )
    return Requests(
        header=header,
        docs=[json.loads(document) for document in table["document"].drop_null().to_pylist()],
        doc=table["doc"].to_numpy(),
        contexts=split_lists(table["context"]),
        continuations=split_lists(table["continuation"]),
    )


def read_table(path: Path) -> pa.Table:
    try:
        # A flipped bit would be another token.
        table = pq.read_table(path, partitioning=None, page_checksum_verification=True)
    except FileNotFoundError:
        raise UserError(f"no requests file {path}: `kbit build-requests` writes it") from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is damaged or not Parquet ({' '.join(str(error).split())[:120]}): rm {path}") from None
    if HEADER not in (table.schema.metadata or {}) or not table.schema.equals(SCHEMA):
        raise UserError(f"{path} is not a requests file of this software: rm {path}")
    return table


def split_lists(column: pa.ChunkedArray) -> list[np.ndarray]:
    """One int64 array per row."""
    lists = column.combine_chunks()
    values = lists.values.to_numpy().astype(np.int64)
    offsets = lists.offsets.to_numpy()
    return [values[start:end] for start, end in pairwise(offsets)]
