"""The shard file: the cells that one job evaluates, by key. Written when a study is planned, never changed."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kbit.spec.cell import cell_id, spec_identity
from kbit.spec.errors import UserError
from kbit.spec.quant import QuantSpec

SHARD_VERSION = 1


@dataclass(frozen=True, slots=True)
class ShardCell:
    """One cell of a shard."""

    cell_id: str
    spec: QuantSpec
    task: str
    task_identity: str
    item_limit: int | None
    requests: str
    """Digest in the name of the requests file."""
    divergence: bool = False
    """Compare with the model's own 16-bit run."""
    calibration: str | None = None
    """Of a calibrated spec: digest in the name of the requests file of its text."""


@dataclass(frozen=True, slots=True)
class ShardFile:
    """What one job needs to know."""

    model_id: str
    model: str
    """Slug of the model: its folder among parts and journals."""
    slice_name: str
    key: str
    dtype: str
    token_budget: int
    cells: tuple[ShardCell, ...]

    @property
    def name(self) -> str:
        """slice.key, the stem of the shard's part and journals."""
        return f"{self.slice_name}.{self.key}"


def read_shard(path: Path) -> ShardFile:
    """UserError for a missing or damaged file, options that are not built, or cells of another release."""
    shard = load_shard(path)
    check_cells(shard, path)
    return shard


def load_shard(path: Path) -> ShardFile:
    """What a file says, whether or not this release can evaluate it. UserError for a missing or damaged one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no shard file {path}; planning the study writes it") from None
    except (OSError, ValueError) as error:
        raise unusable(path, f"cannot be read ({error})") from None
    version = content.get("shard_version") if isinstance(content, dict) else None
    if version != SHARD_VERSION:
        raise unusable(path, f"is of shard version {version!r}, this release reads {SHARD_VERSION}")
    try:
        return parse_shard(content)
    except (KeyError, TypeError) as error:
        raise unusable(path, f"lacks or misstates {error}") from None
    except ValidationError as error:
        raise unusable(
            path, f"holds a spec this release does not know ({error.errors(include_url=False)[0]['msg']})"
        ) from None


def parse_shard(content: dict) -> ShardFile:
    cells = tuple(
        ShardCell(
            cell_id=cell["cell_id"],
            spec=QuantSpec(**cell["spec"]),
            task=cell["task"],
            task_identity=cell["task_identity"],
            item_limit=cell["item_limit"],
            requests=cell["requests"],
            divergence=cell.get("divergence", False),  # older shard files lack it
            calibration=cell.get("calibration"),
        )
        for cell in content["cells"]
    )
    return ShardFile(
        model_id=content["model_id"],
        model=content["model"],
        slice_name=content["slice"],
        key=content["key"],
        dtype=content["dtype"],
        token_budget=content["token_budget"],
        cells=cells,
    )


def check_cells(shard: ShardFile, path: Path) -> None:
    """UserError unless this release can evaluate every cell and would give it the id it was planned under."""
    if unbuilt := sorted({option for cell in shard.cells for option in cell.spec.unbuilt}):
        raise UserError(
            f"{', '.join(unbuilt)} can be planned but not yet evaluated by this release (shard file {path})"
        )
    for cell in shard.cells:
        # A member's or the evaluation's version may have been raised since: the row would claim what it is not.
        if cell.cell_id != cell_id(shard.model_id, spec_identity(cell.spec), cell.task_identity, shard.dtype):
            raise unusable(path, f"was planned by another release (cell {cell.spec.slug}, {cell.task})")


def unusable(path: Path, what: str) -> UserError:
    return UserError(f"shard file {path} {what}; drop it with `rm {shlex.quote(str(path))}` and plan the study again")
