"""Every member of the quantization families: name, version, what is legal, what it stores. Torch-free.

A version is part of the identity of every cell that uses the member: raise it when a change of the
implementation may change a stored weight. `built` is false for members that a study may already plan
but that this release cannot evaluate. Data types, scale formats and solvers that are built have a file of
their name, which is found through this list. What the fields mean: `kbit.spec.member`; the data types have a file of
their own, `kbit.spec.data_types`.
"""

from collections.abc import Mapping

from kbit.spec.data_types import DATA_TYPES as DATA_TYPES
from kbit.spec.member import Member as Member
from kbit.spec.member import ScaleFormat, family

SCALE_FORMATS: Mapping[str, ScaleFormat] = family(
    ScaleFormat("16-bit", 1, file="sixteen_bit", summary="fp16 for fp32 weights, else the weight's own 16-bit dtype"),
    ScaleFormat("fp16", 1, summary="half precision"),
    ScaleFormat("bf16", 1, summary="bfloat16: the range of fp32 in 16 bits"),
    ScaleFormat("fp32", 1, scale_bits=32, summary="single precision"),
    ScaleFormat(
        "dq",
        1,
        scale_bits=8,
        superblock=256,
        tensor_bits=32,
        signed=False,
        summary="double quantization: less their mean, 8-bit dynamic in blocks of 256",
    ),
    ScaleFormat("e8m0", 1, scale_bits=8, signed=False, summary="a power of two, rounded up"),
    ScaleFormat("e4m3", 1, scale_bits=8, tensor_bits=32, summary="OCP's 8-bit float, times one fp32 scale per tensor"),
    ScaleFormat(
        "mx", 1, scale_bits=8, signed=False, is_owned=True, summary="OCP MX: a power of two, rounded down; may clip"
    ),
)

SOLVERS = family(
    Member("rtn", 1, summary="round to nearest"),
)

CENTERINGS = family(
    Member("none", 1, summary="weights as they are"),
    Member("tensor", 1, summary="the tensor's mean is subtracted before and added after"),
    Member("block", 1, summary="the block's mean is subtracted before and added after"),
)

OUTLIER_RULES = family(
    Member(
        "proxy",
        1,
        statistics="feeder_std",
        built=False,
        summary="input dimensions fed by hidden units of largest weight std stay 16-bit",
    ),
)

ROTATIONS = family(
    Member("none", 1, summary="weights as they are"),
    Member("hadamard", 1, summary="Hadamard matrix on each run of inputs of the largest power of two in the width"),
)

DEFAULT_SCALE_FORMAT = "16-bit"
DEFAULT_SOLVER = "rtn"
DEFAULT_CENTERING = "none"
DEFAULT_OUTLIER_RULE = "proxy"
DEFAULT_ROTATION = "none"
