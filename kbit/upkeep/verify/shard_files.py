"""A shard file: readable, and its name that of its content."""

from collections.abc import Iterator
from pathlib import Path

from kbit.spec.cell import shard_key
from kbit.spec.errors import UserError
from kbit.spec.models import model_slug
from kbit.store.shard_file import load_shard
from kbit.upkeep.finding import Finding
from kbit.upkeep.verify.records import drop


def check_shard_file(path: Path) -> Iterator[Finding]:
    """Findings on one; that another release planned it, and alone can evaluate it, is no damage."""
    remedy = f"{drop(path)} and plan the study again"
    try:
        shard = load_shard(path)
    except UserError as error:
        yield Finding("problem", str(error).partition(";")[0], remedy)
        return
    key = shard_key(cell.cell_id for cell in shard.cells)
    stated = (shard.model, shard.name, model_slug(shard.model_id), key)
    if stated != (path.parent.name, path.stem, path.parent.name, path.stem.rpartition(".")[2]):
        yield Finding("problem", f"shard file {path} holds {shard.name} of {shard.model}, cells of key {key}", remedy)
