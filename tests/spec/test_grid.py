"""What a grid expands into: specs whose names and identities go together."""

from kbit.spec.cell import spec_identity
from kbit.spec.grid import GridConfig
from kbit.spec.quant import CONTROL, QuantSpec


def specs(**choices: object) -> list[QuantSpec]:
    return list(GridConfig(**{"data_types": ["int"], "bits": [4], "block_sizes": [64], **choices}).specs())


def test_an_option_without_effect_makes_no_second_cell() -> None:
    """Two cells of one name would be evaluated twice and drawn as one point."""
    found = specs(outlier_fractions=[0.0, 0.02], outlier_rules=["proxy", "own-std"])
    identities = {spec_identity(spec): spec.slug for spec in found}
    assert sorted(identities.values()) == ["int4-b64", "int4-b64-p0.02", "int4-b64-p0.02_own-std"]


def test_the_control_has_no_options() -> None:
    found = specs(data_types=["none"], bits=[16], solvers=["rtn", "hqq"], centered=["none", "block"])
    assert {spec_identity(spec) for spec in found} == {spec_identity(CONTROL)}


def test_calibrated_solvers_alone_take_their_options() -> None:
    found = specs(solvers=["rtn", "hqq", "gptq"], dampings=[0.01, 0.1], act_orders=[False, True])
    assert [spec.slug for spec in found] == [
        "int4-b64",
        "int4-b64-hqq",
        *[f"int4-b64-gptq{damping}{order}" for damping in ("", "-damp0.1") for order in ("", "-actorder")],
    ]
