"""Every member of the quantization families: name, version, what is legal, what it stores. Torch-free.

A version is part of the identity of every cell that uses the member: raise it when a change of the
implementation may change a stored weight. `built` is false for members that a study may already plan
but that this release cannot evaluate. Data types, scale formats and solvers that are built have a file of
their name, which is found through this list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a family."""

    name: str
    version: int
    """Raised when stored weights may change; part of the cell's identity."""
    bits: range = range(2, 9)
    """Legal widths k of a code, data types only."""
    exponents: range = range(0)
    """Exponent bits E that the spec must choose from, E <= k - 1, data types only. Empty: it states none."""
    block_sizes: tuple[int, ...] = ()
    """Legal block sizes, data types only. Empty: every one."""
    scaling: Literal["absmax", "signed", "range"] = "absmax"
    """What a block is divided by, data types only: its absmax, its value of largest magnitude with the sign, or
    maximum - minimum after the minimum is subtracted, which is then stored in 16 bits too."""
    table: Literal["", "tensor", "row"] = ""
    """Whether the levels depend on the weights, so that every tensor, or every row of it, stores its own; data types
    only."""
    table_in_paper_count: bool = False
    """Whether bits_per_param counts that table. The paper leaves out that of its quantile type."""
    own_scale_format: str = ""
    """The one scale format that belongs to it, data types only. Empty: the spec chooses."""
    built: bool = True
    """Whether this release can evaluate it."""
    file: str = ""
    """Python file of the implementation, where it is not called as the member is."""
    summary: str = ""
    """One line for the generated documentation."""

    @property
    def has_exponent_bits(self) -> bool:
        """Whether the spec must state the exponent bits."""
        return bool(self.exponents)

    @property
    def module(self) -> str:
        """Name of the module of the implementation, inside the family's package."""
        return self.file or self.name.replace("-", "_")

    def legal_exponents(self, bits: int) -> list[int]:
        """Exponent bits a width leaves room for, beside the sign."""
        return [exponent for exponent in self.exponents if exponent <= bits - 1]


@dataclass(frozen=True, slots=True)
class ScaleFormat(Member):
    """How a block's scale is stored."""

    scale_bits: int = 16
    """Bits of one scale."""
    superblock: int = 0
    """Scales that share a second scale of 32 bits; 0 where there is none."""
    tensor_bits: int = 0
    """Bits stored once per tensor."""
    signed: bool = True
    """Whether it holds negative scales, as data types with scaling=signed need."""
    is_owned: bool = False
    """Whether only the data types that name it may use it."""


def family(*members: Member) -> Mapping[str, Member]:
    return {member.name: member for member in members}


# Seven exponent bits would put a subnormal fp32 midpoint into the codebook.
MINIFLOAT_EXPONENTS = range(1, 7)

DATA_TYPES = family(
    Member("none", 1, bits=range(16, 17), summary="the 16-bit control: weights as they are"),
    Member("int", 1, file="integer", summary="symmetric integers, 2^k - 1 levels"),
    Member("int-asym", 1, scaling="range", summary="integers from a block's minimum to its maximum, 2^k levels"),
    Member(
        "float",
        1,
        exponents=MINIFLOAT_EXPONENTS,
        file="floating",
        summary="IEEE-like minifloat with E exponent bits, no NaN or infinity",
    ),
    Member(
        "float-bnb039",
        1,
        exponents=MINIFLOAT_EXPONENTS,
        file="floating",
        summary="the minifloat of bitsandbytes since 0.39: subnormals four times smaller",
    ),
    Member(
        "fp4-bnb",
        1,
        exponents=MINIFLOAT_EXPONENTS,
        file="floating",
        summary="the paper's printed minifloat, bitsandbytes' fp4: subnormals sixteen times smaller",
    ),
    Member("dynamic", 1, summary="dynamic exponent: decades of linearly spaced levels"),
    Member("quantile", 1, table="tensor", summary="quantiles of the whole tensor, one codebook per tensor"),
    Member("nf", 1, summary="NormalFloat: normal quantiles, NF4 at 4 bits"),
    Member("sf", 1, summary="StudentFloat: quantiles of t with 5 degrees of freedom, SF4 at 4 bits"),
    Member("af", 1, summary="AbnormalFloat: least absolute error of normal weights in blocks of the size in use"),
    Member("bof", 1, summary="block-wise optimal float: least squared error of normal weights in such blocks"),
    Member("bof-s", 1, scaling="signed", file="bof", summary="the same, blocks divided by their extreme with its sign"),
    Member(
        "kmeans",
        1,
        table="tensor",
        table_in_paper_count=True,
        summary="levels learned from the weights by k-means, one table per tensor",
    ),
    Member(
        "kmeans-row",
        1,
        table="row",
        table_in_paper_count=True,
        file="kmeans",
        summary="levels learned from the weights by k-means, one table per row",
    ),
    Member(
        "mxfp4",
        1,
        bits=range(4, 5),
        block_sizes=(32,),
        own_scale_format="mx",
        file="ocp",
        summary="OCP MXFP4: E2M1 elements, a power of two per 32",
    ),
    Member(
        "mxfp6",
        1,
        bits=range(6, 7),
        exponents=range(2, 4),
        block_sizes=(32,),
        own_scale_format="mx",
        file="ocp",
        summary="OCP MXFP6: E2M3 or E3M2 elements, a power of two per 32",
    ),
    Member(
        "mxfp8",
        1,
        bits=range(8, 9),
        exponents=range(4, 6),
        block_sizes=(32,),
        own_scale_format="mx",
        file="ocp",
        summary="OCP MXFP8: E4M3 or E5M2 elements, a power of two per 32",
    ),
    Member(
        "nvfp4",
        1,
        bits=range(4, 5),
        block_sizes=(16,),
        own_scale_format="e4m3",
        file="ocp",
        summary="NVFP4: E2M1 elements, an E4M3 scale per 16 and an fp32 one per tensor",
    ),
)

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
    Member("proxy", 1, built=False, summary="input dimensions fed by hidden units of largest weight std stay 16-bit"),
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
