"""The cut of a model's cells into slices: what one job evaluates.

A fixed function of the model's parameter count and the spec, so that nothing that is added to a study
re-cuts what exists. The limits aim at jobs of 20 to 60 minutes for a paper-sized grid of about 250 specs on one
data-center GPU (see kbit/plan/cost.py; docs/decisions/0006-the-cut-into-slices.md); a bigger grid gives longer jobs,
which continue from their journal.
"""

from collections.abc import Callable

from kbit.spec.quant import QuantSpec

FINE_BLOCK, COARSE_BLOCK = 64, 256
"""Most questions are asked at blocks of 64 (centering, outliers, exponent bits): those specs are many."""


def whole_model(_spec: QuantSpec) -> str:
    return "all"


def by_data_type(spec: QuantSpec) -> str:
    return spec.data_type


def by_bits(spec: QuantSpec) -> str:
    return f"k{spec.bits}"


def by_data_type_and_bits(spec: QuantSpec) -> str:
    return f"{spec.data_type}-k{spec.bits}"


def by_grain(spec: QuantSpec) -> str:
    """Data type, bits, and whether blocks are at most 64, at most 256 or larger (rows and tensors are)."""
    if not isinstance(spec.block_size, int) or spec.block_size > COARSE_BLOCK:
        grain = "coarse"
    else:
        grain = "fine" if spec.block_size <= FINE_BLOCK else "medium"
    return f"{by_data_type_and_bits(spec)}-{grain}"


def by_spec(spec: QuantSpec) -> str:
    return spec.slug


CUTS: tuple[tuple[float, Callable[[QuantSpec], str]], ...] = (
    (2e9, whole_model),
    (5e9, by_data_type),
    (10e9, by_bits),
    (40e9, by_data_type_and_bits),
    (100e9, by_grain),
    (float("inf"), by_spec),
)
"""Models of fewer parameters than this are cut so."""


def slice_name(parameters: int, spec: QuantSpec) -> str:
    """Slice of a spec for a model of so many parameters."""
    return next(cut for limit, cut in CUTS if parameters < limit)(spec)
