"""A part made of a published table: readable, its rows of this schema, its key that of its cells."""

from collections.abc import Iterator
from pathlib import Path

from kbit.spec.cell import shard_key
from kbit.spec.errors import UserError
from kbit.spec.rows import SOURCE_PUBLISHED
from kbit.store.parts import read_part
from kbit.upkeep.finding import Finding
from kbit.upkeep.verify.records import drop

AGAIN = "and run the study again: it is made anew of its table"


def check_published_part(path: Path) -> Iterator[Finding]:
    """Findings on one part."""
    remedy = f"{drop(path)}, {AGAIN}"
    try:
        frame = read_part(path, ["cell_id", "source"])
    except UserError as error:
        yield Finding("problem", str(error).partition(";")[0], remedy)
        return
    key = path.stem.rpartition(".")[2]
    if (found := shard_key(frame["cell_id"])) != key:
        yield Finding("problem", f"part {path}: its {frame.height} cells have the key {found}", remedy)
    if foreign := frame.filter(frame["source"].ne_missing(SOURCE_PUBLISHED)).height:
        yield Finding("problem", f"part {path}: {foreign} rows are not of a published table", remedy)
