"""What a member of a quantization family tells of itself, and what is counted and documented from that. Torch-free."""

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
    statistics: Literal["", "feeder_std", "second_moments"] = ""
    """What it needs of a layer beside its weight: a field of `kbit.quant.statistics.Statistics`."""
    built: bool = True
    """Whether this release can evaluate it."""
    file: str = ""
    """Python file of the implementation, where it is not called as the member is."""
    summary: str = ""
    """One line: what it is."""
    formula: str = ""
    """Its definition in the notation of docs/methods.md: a weight w, a stored scale s, a level u."""
    source: str = ""
    """Where that comes from: paper and section, standard or library, with the year."""

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
