"""Tasks that are a text: their documents, from local files or from a data set of the hub, in an lm-eval task object."""

import gzip
import json
import lzma
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from kbit.evaluation.hub_data import data_folder
from kbit.evaluation.stored_task import StoredTask
from kbit.evaluation.task_objects import one_line, source, text_keywords
from kbit.spec.errors import UserError

BYTE_METRICS = ("byte_perplexity", "bits_per_byte")
WORD_METRICS = ("word_perplexity",)
"""lm-eval's metrics of whole documents; windows cut words, so that they have the others only."""
AGGREGATIONS = {
    "byte_perplexity": "weighted_perplexity",
    "bits_per_byte": "bits_per_byte",
    "word_perplexity": "weighted_perplexity",
}


def text_task(locator: dict) -> StoredTask:
    """The documents of a text, one item each. UserError: a file is not what its name says, or holds no text."""
    metrics = [*BYTE_METRICS, *(() if locator["text"]["window"] else WORD_METRICS)]
    definition = {
        "task": locator["name"],
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "text",
        "metric_list": [
            {"metric": name, "aggregation": AGGREGATIONS[name], "higher_is_better": False} for name in metrics
        ],
    }
    return StoredTask(definition, [{"text": document} for document in read_documents(locator)])


def read_documents(locator: dict) -> list[str]:
    """The first `documents` documents in the order of the files and their rows."""
    text = locator["text"]
    found = hub_documents(locator) if locator["dataset"] else local_documents(locator)
    documents = list(islice(found, text["documents"]))
    if not any(document.strip() for document in documents):
        raise UserError(f"task {locator['name']!r}: there is no text in {source(locator)}")
    return documents


def local_documents(locator: dict) -> Iterator[str]:
    files = map(Path, locator["data_files"])
    return chain.from_iterable(file_documents(locator, file) for file in files)


def file_documents(locator: dict, file: Path) -> Iterator[str]:
    column = locator["text"]["column"]
    try:
        if file.suffix == ".txt":
            yield file.read_bytes().decode("utf-8")
        elif file.suffix == ".parquet":
            yield from parquet_documents(locator, file, column)
        else:
            yield from json_documents(locator, file, column)
    except (ValueError, OSError, EOFError, lzma.LZMAError, pa.ArrowException) as error:
        kind = "text in UTF-8" if file.suffix == ".txt" else "Parquet" if file.suffix == ".parquet" else "JSON lines"
        raise UserError(f"task {locator['name']!r}: {file} is not {kind}: {one_line(error)}") from None


def parquet_documents(locator: dict, file: Path, column: str) -> Iterator[str]:
    parquet = pq.ParquetFile(file)
    check_column(locator, str(file), column, parquet.schema_arrow.names)
    values = (value for batch in parquet.iter_batches(columns=[column]) for value in batch[column].to_pylist())
    for number, value in enumerate(values, start=1):
        yield as_text(locator, f"row {number} of {file}", column, value)


def column_names(file: Path) -> list[str]:
    """Of a Parquet file, or of the first of its JSON lines; none if it is not what its name says."""
    try:
        if file.suffix == ".parquet":
            return pq.read_schema(file).names
        with open_lines(file) as lines:
            return list(json.loads(lines.readline()))
    except (ValueError, TypeError, OSError, EOFError, lzma.LZMAError, pa.ArrowException):
        return []


def open_lines(file: Path) -> BinaryIO:
    return {".gz": gzip.open, ".xz": lzma.open}.get(file.suffix, open)(file, "rb")


def json_documents(locator: dict, file: Path, column: str) -> Iterator[str]:
    with open_lines(file) as lines:
        for number, line in enumerate(lines, start=1):
            place = f"line {number} of {file}"
            row = json.loads(line)
            if not isinstance(row, dict):
                raise UserError(f"task {locator['name']!r}: {place} is no JSON object with columns")
            check_column(locator, place, column, list(row))
            yield as_text(locator, place, column, row[column])


def hub_documents(locator: dict) -> Iterator[str]:
    from datasets import load_dataset

    text, folder = locator["text"], data_folder(locator)
    try:
        data = load_dataset(folder, locator["dataset_name"], split=text["split"], **text_keywords(locator))
    except Exception as error:
        # Whatever the data set makes `datasets` raise is a fault of that data set.
        raise UserError(
            f"task {locator['name']!r} cannot be loaded from {source(locator)}: {one_line(error)}"
        ) from error
    check_column(locator, source(locator), text["column"], data.column_names)
    for number, value in enumerate(data[text["column"]], start=1):
        yield as_text(locator, f"row {number} of {source(locator)}", text["column"], value)


def check_column(locator: dict, place: str, column: str, present: list[str]) -> None:
    if column not in present:
        raise UserError(
            f"task {locator['name']!r}: {place} has no column {column!r}, only {', '.join(present)} "
            "(text.column of the task in tasks.yaml)"
        )


def as_text(locator: dict, place: str, column: str, value: object) -> str:
    if not isinstance(value, str):
        raise UserError(f"task {locator['name']!r}: {column!r} in {place} is {value!r:.80}, not text")
    return value
