"""Every member of the quantization families: name, version, what is legal, what it stores. Torch-free.

A version is part of the identity of every cell that uses the member: raise it when a change of the
implementation may change a stored weight. `built` is false for members that a study may already plan
but that this release cannot evaluate. Data types, scale formats and solvers that are built have a file of
their name, which is found through this list. What the fields mean: `kbit.spec.member`; the data types have a list of
their own, `kbit.spec.data_types`. `docs/methods.md` is made from both.
"""

from collections.abc import Mapping

from kbit.spec.data_types import DATA_TYPES
from kbit.spec.member import Member, ScaleFormat, family

__all__ = [
    "CENTERINGS",
    "DATA_TYPES",
    "OUTLIER_RULES",
    "ROTATIONS",
    "SCALE_FORMATS",
    "SOLVERS",
    "Member",
    "ScaleFormat",
]

SCALE_FORMATS: Mapping[str, ScaleFormat] = family(
    ScaleFormat(
        "16-bit",
        1,
        file="sixteen_bit",
        summary="fp16 for fp32 weights, else the weight's own 16-bit dtype",
        formula="s = fp16(a) for fp32 weights; else a in the weight's own dtype, where it is exact",
        source="Dettmers & Zettlemoyer (2023), section 2.3: 16 bits per block",
    ),
    ScaleFormat(
        "fp16",
        1,
        summary="half precision",
        formula="s = a to nearest even, 5 exponent and 10 mantissa bits",
        source="IEEE 754-2008, binary16",
    ),
    ScaleFormat(
        "bf16",
        1,
        summary="bfloat16: the range of fp32 in 16 bits",
        formula="s = a to nearest even, 8 exponent and 7 mantissa bits",
        source="Intel (2018), BFLOAT16 Hardware Numerics Definition",
    ),
    ScaleFormat(
        "fp32",
        1,
        scale_bits=32,
        summary="single precision",
        formula="s = a",
        source="bitsandbytes (2022), whose absmax it is",
    ),
    ScaleFormat(
        "dq",
        1,
        scale_bits=8,
        superblock=256,
        tensor_bits=32,
        signed=False,
        summary="double quantization: less their mean, 8-bit dynamic in blocks of 256",
        formula="s = max(m + Q(a - m), 0), m the mean of the tensor's a, Q the 8-bit dynamic type in blocks of 256 "
        "with an fp32 absmax",
        source="Dettmers et al. (2023), QLoRA, section 3",
    ),
    ScaleFormat(
        "e8m0",
        1,
        scale_bits=8,
        signed=False,
        summary="a power of two, rounded up",
        formula="s = 2^ceil(log2(a / v)): the smallest power of two that clips nothing",
        source="OCP Microscaling Formats (MX) v1.0 (2023), E8M0; rounding up is ours",
    ),
    ScaleFormat(
        "e4m3",
        1,
        scale_bits=8,
        tensor_bits=32,
        summary="OCP's 8-bit float, times one fp32 scale per tensor",
        formula="s = T E4M3(a / (v T)), T the tensor's largest a / (448 v), in fp32",
        source="NVIDIA (2025), NVFP4, for which v = 6",
    ),
    ScaleFormat(
        "mx",
        1,
        scale_bits=8,
        signed=False,
        is_owned=True,
        summary="OCP MX: a power of two, rounded down; may clip",
        formula="s = 2^(floor(log2 a) - floor(log2 v)); weights beyond v s saturate",
        source="OCP Microscaling Formats (MX) v1.0 (2023), section 6.3",
    ),
)

SOLVERS = family(
    Member(
        "rtn",
        1,
        summary="round to nearest",
        formula="the code of w is the number of midpoints between neighbouring levels that lie strictly below w / s",
        source="Dettmers & Zettlemoyer (2023), section 2.2; that ties go down is ours",
    ),
    Member(
        "gptq",
        1,
        statistics="second_moments",
        summary="inputs in turn, each making up for the errors of those before it; calibrated on a text",
        formula="Q(w_j + sum over i < j of (w_i - q_i) R_ij / R_jj), R upper triangular, R R' = H + d mean(diag H) I, "
        "H the mean of x x' over calibration inputs x, d = 0.01; scales are those of the pristine weight",
        source="Frantar et al. (2023), GPTQ, there by the Cholesky factor of the inverse of H",
    ),
    Member(
        "hqq",
        1,
        summary="half-quadratic: what a block stores is moved to make most errors small",
        formula="of int-asym the minimum, else the scale: least sum of |w - Q(w)|^0.7 over a block, by half-quadratic "
        "splitting",
        source="Badri & Shaji (2023), Half-Quadratic Quantization; moving a scale is ours",
    ),
)

CENTERINGS = family(
    Member("none", 1, summary="weights as they are", formula="Q(w)", source="the default"),
    Member(
        "tensor",
        1,
        summary="the tensor's mean is subtracted before and added after",
        formula="m + Q(w - m), m the mean of the tensor in 16 bits",
        source="Dettmers & Zettlemoyer (2023), appendix B, Eq. 7 and 8",
    ),
    Member(
        "block",
        1,
        summary="the block's mean is subtracted before and added after",
        formula="m + Q(w - m), m the mean of the block in 16 bits",
        source="Dettmers & Zettlemoyer (2023), appendix B, Eq. 7 and 8; a mean per block is one reading of it",
    ),
)

OUTLIER_RULES = family(
    Member(
        "proxy",
        1,
        statistics="feeder_std",
        summary="input dimensions fed by hidden units of largest weight std stay 16-bit",
        formula="16-bit stay the inputs j of the largest p std(row j of the linear whose outputs these inputs are)",
        source="Dettmers & Zettlemoyer (2023), section 3, Eq. 2",
    ),
    Member(
        "own-std",
        1,
        summary="input dimensions whose own weights have the largest std stay 16-bit",
        formula="16-bit stay the inputs j of the largest p std(column j)",
        source="bitsandbytes c9f50506 (2023), find_outlier_dims, with a share instead of a z-score of 4",
    ),
)

ROTATIONS = family(
    Member("none", 1, summary="weights as they are", formula="Q(W)", source="the default"),
    Member(
        "hadamard",
        1,
        summary="Hadamard matrix on each run of inputs of the largest power of two in the width",
        formula="Q(W D) D', D' the transpose of D, block-diagonal of H_n / sqrt(n), n the largest power of two that "
        "divides the width; H_1 = 1, H_2n = [[H_n, H_n], [H_n, -H_n]]",
        source="Ashkboos et al. (2024), QuaRot; Tseng et al. (2024), QuIP#; both add random signs",
    ),
)


def is_calibrated(solver: str) -> bool:
    """Whether a solver looks at the inputs of layers, those of a calibration text; not if nobody knows it."""
    return solver in SOLVERS and SOLVERS[solver].statistics == "second_moments"


DEFAULT_SCALE_FORMAT = "16-bit"
DEFAULT_SOLVER = "rtn"
DEFAULT_CENTERING = "none"
DEFAULT_OUTLIER_RULE = "proxy"
DEFAULT_ROTATION = "none"
DEFAULT_DAMPING = 0.01
