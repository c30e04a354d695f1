"""The lists of members, and what a spec makes of them: identities that are fixed, slugs, what is refused."""

import pytest
from pydantic import ValidationError

from kbit.spec import members
from kbit.spec.cell import cell_id, spec_identity
from kbit.spec.quant import CONTROL, QuantSpec

FROZEN = {
    "none16": (CONTROL, "425f93c2cad595997f0baf90c9b80ee8"),
    "int3-b64": (QuantSpec(data_type="int", bits=3, block_size=64), "9be4fccc485b2dcac562c8884d270d65"),
    "int8-tensor": (QuantSpec(data_type="int", bits=8), "89202d6bef7866569e48d0d81d68befb"),
    "float4e3-row": (
        QuantSpec(data_type="float", bits=4, exponent_bits=3, block_size="row"),
        "3d4b9d13d2fdbfc954381406e06df97f",
    ),
    "dynamic2-b1024": (QuantSpec(data_type="dynamic", bits=2, block_size=1024), "7185dd061d1f6e135d418094d0d06cff"),
    "quantile5-b128": (QuantSpec(data_type="quantile", bits=5, block_size=128), "d5aaa98069acdbb16967962be63f8097"),
    "int4-b64-p0.02": (
        QuantSpec(data_type="int", bits=4, block_size=64, outlier_fraction=0.02),
        "c06dd3188495b85f109e670851879481",
    ),
}


@pytest.mark.parametrize("slug", FROZEN)
def test_identities_are_fixed_forever(slug: str) -> None:
    """A changed digest would re-evaluate every study there is."""
    spec, expected = FROZEN[slug]
    assert spec.slug == slug
    assert cell_id("m@1", spec_identity(spec), "t", "float16") == expected


FAMILIES = ("DATA_TYPES", "SCALE_FORMATS", "CENTERINGS", "OUTLIER_RULES", "SOLVERS", "ROTATIONS")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_member_is_described(family: str) -> None:
    """docs/methods.md says of each what it is, by which formula, and who says so, and when."""
    for member in getattr(members, family).values():
        assert member.summary, member.name
        assert member.version >= 1
        assert member.formula, f"{family}, {member.name}: no formula"
        assert member.source, f"{family}, {member.name}: no source"


def test_a_spec_survives_json() -> None:
    for spec, _ in FROZEN.values():
        assert QuantSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("options", "slug"),
    [
        ({"data_type": "int-asym", "bits": 4, "block_size": 64}, "int-asym4-b64"),
        ({"data_type": "float-bnb039", "bits": 5, "exponent_bits": 2, "block_size": 64}, "float-bnb039_5e2-b64"),
        ({"data_type": "bof-s", "bits": 3, "block_size": "row"}, "bof-s3-row"),
        ({"data_type": "mxfp4", "bits": 4, "block_size": 32}, "mxfp4-b32"),
        ({"data_type": "mxfp8", "bits": 8, "exponent_bits": 5, "block_size": 32}, "mxfp8e5-b32"),
        ({"data_type": "nvfp4", "bits": 4, "block_size": 16}, "nvfp4-b16"),
        ({"data_type": "int", "bits": 4, "block_size": 64, "scale_format": "dq"}, "int4-b64-dq"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_slugs(options: dict, slug: str) -> None:
    spec = QuantSpec(**options)
    assert spec.slug == slug
    assert QuantSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_standard_brings_its_scale_format() -> None:
    assert QuantSpec(data_type="mxfp4", bits=4, block_size=32).used_members["scale_format"].name == "mx"
    assert QuantSpec(data_type="nvfp4", bits=4, block_size=16).scale_format == "e4m3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"data_type": "mxfp4", "bits": 3, "block_size": 32},
            "bits 3 is not legal for data_type 'mxfp4': accepted is 4",
        ),
        ({"data_type": "mxfp4", "bits": 4, "block_size": 64}, "block_size 64 is not legal for .* accepted is 32"),
        ({"data_type": "nvfp4", "bits": 4}, "block_size tensor is not legal for data_type 'nvfp4': accepted is 16"),
        ({"data_type": "mxfp6", "bits": 6, "block_size": 32}, "exponent_bits is missing .* accepted is 2 to 3"),
        (
            {"data_type": "mxfp8", "bits": 8, "exponent_bits": 3, "block_size": 32},
            "exponent_bits 3 does not fit 8 bits: accepted is 4 to 5",
        ),
        (
            {"data_type": "mxfp4", "bits": 4, "block_size": 32, "scale_format": "fp32"},
            "scale_format 'fp32' is not legal here: data_type 'mxfp4' has its own: leave it out, or say mx",
        ),
        ({"data_type": "int", "bits": 4, "scale_format": "mx"}, "it belongs to data types of its standard"),
        ({"data_type": "nf", "bits": 9}, "bits 9 is not legal for data_type 'nf': accepted is 2 to 8"),
        ({"data_type": "nf", "bits": 4, "exponent_bits": 2}, "data_type 'nf' has none"),
        (
            {"data_type": "int", "bits": 4, "outlier_fraction": 0.51},
            "outlier_fraction 0.51 is not legal: accepted is 0 to 0.5",
        ),
        ({"data_type": "int", "bits": 4, "outlier_fraction": -0.1}, "outlier_fraction -0.1 is not legal"),
        ({"data_type": "int", "bits": 4, "outlier_fraction": float("nan")}, "outlier_fraction nan is not legal"),
        (
            {"data_type": "int", "bits": 4, "outlier_fraction": 0.02, "rotation": "hadamard"},
            "outlier_fraction 0.02 is not legal with rotation 'hadamard'.*: accepted is 0, or rotation none",
        ),
    ],
    ids=lambda value: value["data_type"] if isinstance(value, dict) else "",
)
def test_refuses_in_one_line(options: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        QuantSpec(**options)
