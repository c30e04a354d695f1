"""The row of a cell, put together from what identifies the cell, where it was evaluated, and what came of it."""

import json
from collections.abc import Mapping

from kbit.spec.cell import EVALUATION_VERSION
from kbit.spec.quant import CALIBRATED_FIELDS, QuantSpec
from kbit.spec.rows import COLUMNS
from kbit.store.rows import Row
from kbit.store.shard_file import ShardCell, ShardFile


def cell_row(
    shard: ShardFile, cell: ShardCell, status: str, source: Mapping[str, object], values: Mapping[str, object]
) -> Row:
    """A row of every column. `source` holds provenance and started_at, `values` the outcome; the rest is null."""
    return {
        **dict.fromkeys(column.name for column in COLUMNS),
        **spec_columns(cell.spec),
        "cell_id": cell.cell_id,
        "model_id": shard.model_id,
        "task": cell.task,
        "task_identity": cell.task_identity,
        "item_limit": cell.item_limit,
        "requests": cell.requests,
        "dtype": shard.dtype,
        "evaluation_version": EVALUATION_VERSION,
        "token_budget": shard.token_budget,
        "status": status,
        **source,
        **values,
    }


def spec_columns(spec: QuantSpec) -> dict[str, object]:
    """The quantization spec as columns; what the 16-bit control does not use is null."""
    is_control = spec.data_type == "none"
    versions = {field: member.version for field, member in spec.used_members.items()}
    return {
        "spec": spec.slug,
        "data_type": spec.data_type,
        "bits": spec.bits,
        "exponent_bits": spec.exponent_bits,
        "block_size": None if is_control else str(spec.block_size),
        "centered": spec.centered,
        "outlier_fraction": spec.outlier_fraction,
        "outlier_rule": spec.outlier_rule if spec.outlier_fraction else None,
        "scale_format": None if is_control else spec.scale_format,
        "solver": None if is_control else spec.solver,
        "rotation": spec.rotation,
        **{name: getattr(spec, name) if spec.is_calibrated else None for name in CALIBRATED_FIELDS},
        "member_versions": json.dumps(versions, sort_keys=True),
    }
