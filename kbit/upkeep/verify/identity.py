"""A row's cell id against the row: the digest of what the row itself says was evaluated."""

import json
from collections.abc import Mapping
from functools import cache

from kbit.spec.cell import digest_cell
from kbit.spec.digest import digest_json
from kbit.spec.quant import QuantSpec

OTHER_CELL = "the cell id is not the digest of what the row says was evaluated"
SPEC_COLUMNS = tuple(QuantSpec.model_fields)


def names_another_cell(row: Mapping[str, object]) -> bool:
    """Whether a row's id is that of other contents. No, of a spec that this release does not know."""
    spec = spec_identity_of(row["member_versions"], *(row[name] for name in SPEC_COLUMNS))
    if spec is None:
        return False
    version = row["evaluation_version"]
    return row["cell_id"] != digest_cell(row["model_id"], spec, row["task_identity"], row["dtype"], version)


@cache
def spec_identity_of(versions: str, *values: object) -> str | None:
    """`kbit.spec.cell.spec_identity` of a row's spec, by the member versions that the row states."""
    fields = {name: value for name, value in zip(SPEC_COLUMNS, values, strict=True) if value is not None}
    if str(fields.get("block_size", "")).isdigit():
        fields["block_size"] = int(str(fields["block_size"]))
    try:
        spec = QuantSpec(**fields)
        return digest_json(spec.model_dump(mode="json", exclude_defaults=True) | {"versions": json.loads(versions)})
    except ValueError:
        return None
