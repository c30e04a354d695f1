"""From slugs back to specs: every method of the registry, and what is none."""

import pytest

from kbit.spec.errors import UserError
from kbit.spec.methods import all_specs
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.spec.slug import parse_slug

SPECS = [spec for spec in all_specs() if not spec.is_calibrated] + [
    QuantSpec(data_type="float", bits=4, exponent_bits=2, block_size="row", outlier_fraction=0.02),
    QuantSpec(data_type="int", bits=3, block_size=64, outlier_fraction=0.01, outlier_rule="own-std", centered="block"),
    QuantSpec(data_type="nf", bits=4, block_size=64, scale_format="dq", rotation="hadamard", solver="hqq"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.slug)
def test_a_slug_names_its_spec(spec: QuantSpec):
    assert parse_slug(spec.slug) == spec


def test_the_control():
    assert parse_slug("none16") == CONTROL


@pytest.mark.parametrize(
    "text", ["", "int4", "int4-b", "int4-b64-", "int4-b64-what", "int9-b64", "real4-b64", "int4-b64-rtn", "gptq"]
)
def test_what_is_no_slug(text: str):
    with pytest.raises(UserError, match="is not a quantization spec"):
        parse_slug(text)
