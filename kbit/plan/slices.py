"""The cut of a model's cells into slices: what one job evaluates.

A fixed function of the model's parameter count and the spec, so that nothing that is added to a study
re-cuts what exists. The thresholds aim at jobs of about an hour at most for a paper-sized grid of about 250 specs
on one data-center GPU (see kbit/plan/cost.py); a bigger grid gives longer jobs, which continue from their journal.
"""

from kbit.spec.quant import QuantSpec

CUT_BY_DATA_TYPE = 500_000_000
CUT_BY_BITS = 4_000_000_000
CUT_BY_BLOCK_SIZE = 16_000_000_000

WHOLE_MODEL = "all"


def slice_name(parameters: int, spec: QuantSpec) -> str:
    """Slice of a spec for a model of so many parameters: all, or data type and options, bits, block size."""
    if parameters < CUT_BY_DATA_TYPE:
        return WHOLE_MODEL
    if spec.data_type == "none":
        return "none"
    parts = [spec.data_type, *spec.options]
    if parameters >= CUT_BY_BITS:
        parts.append(f"k{spec.bits}")
    if parameters >= CUT_BY_BLOCK_SIZE:
        parts.append(spec.granularity)
    return "-".join(parts)
