"""The file in which a job leaves what it saw of one model's hidden units: a row for each linear layer of its blocks."""

import io
from pathlib import Path

import polars as pl

from kbit.spec.errors import UserError
from kbit.store.atomic import write_bytes

SCHEMA = {
    "model_id": pl.String,
    "task": pl.String,
    "block": pl.Int64,
    "linear": pl.String,
    "role": pl.String,
    "feeders": pl.List(pl.String),
    "n_tokens": pl.Int64,
    "std": pl.List(pl.Float32),
    "magnitude": pl.List(pl.Float32),
}
"""std: of the weights of the hidden unit that each input dimension is; magnitude: its mean on the text."""


def write_hidden_units(rows: list[dict[str, object]], path: Path) -> None:
    """Write the file whole or not at all."""
    content = io.BytesIO()
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(content, compression="zstd")
    write_bytes(path, content.getvalue())


def read_hidden_units(path: Path) -> pl.DataFrame:
    """UserError, naming the file and its remedy, if it cannot be read."""
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} cannot be read ({reason}): rm {path}, and run the study again") from None
    if dict(frame.schema) != SCHEMA:
        raise UserError(f"{path} is not of this release: rm {path}, and run the study again")
    return frame
