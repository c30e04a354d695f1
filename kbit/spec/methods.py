"""The methods that docs/methods.md lists: every built member of every family, as specs of the widths it can have."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from kbit.spec import members
from kbit.spec.member import Member
from kbit.spec.quant import QuantSpec

WIDTHS = (3, 4)
"""Where precision is decided. A data type that has neither is listed at its own widths."""
BLOCK_SIZE = 64
OUTLIER_FRACTION = 0.02
"""The one p that the paper reports."""


@dataclass(frozen=True, slots=True)
class Family:
    """One axis of the grid besides width and block size."""

    field: str
    """Of the spec."""
    title: str
    members: dict[str, Member]
    options: tuple[tuple[str, object], ...] = ()
    """Other fields without which the member would do nothing."""
    hosts: tuple[str, ...] = ("int", "nf")
    """Data types under which its members are listed; where none of them is legal, the first that is."""


FAMILIES = (
    Family("data_type", "Data types", dict(members.DATA_TYPES)),
    Family("scale_format", "Scale formats", dict(members.SCALE_FORMATS)),
    Family("centered", "Centerings", dict(members.CENTERINGS)),
    Family("outlier_rule", "Outlier rules", dict(members.OUTLIER_RULES), (("outlier_fraction", OUTLIER_FRACTION),)),
    Family("rotation", "Rotations", dict(members.ROTATIONS)),
    # Beside a table of levels and a symmetric grid the one with a minimum, for which HQQ was made.
    Family("solver", "Solvers", dict(members.SOLVERS), hosts=("int", "int-asym", "nf")),
)


@dataclass(frozen=True, slots=True)
class Method:
    """One member as it is measured: alone if it is a data type, else under a data type."""

    member: str
    data_type: str
    exponent_bits: int | None
    specs: tuple[QuantSpec, ...]
    """One per width, ascending."""

    @property
    def name(self) -> str:
        exponent = f" E{self.exponent_bits}" if self.exponent_bits is not None else ""
        return f"{self.data_type}{exponent}" if self.member == self.data_type else f"{self.member}, {self.data_type}"

    def at(self, bits: int) -> QuantSpec | None:
        """The spec of a width; None if the method has it not."""
        return next((spec for spec in self.specs if spec.bits == bits), None)


def methods_of(family: Family) -> list[Method]:
    """The methods of every member that this release can evaluate, in the order of the list of members."""
    built = [member for member in family.members.values() if member.built]
    if family.field == "data_type":
        # The control is what all others are measured against.
        return [method for member in built if member.name != "none" for method in methods_of_data_type(member)]
    return [method for member in built for method in methods_under_hosts(family, member)]


def methods_of_data_type(member: Member) -> Iterator[Method]:
    """One method, or one for every E that fits."""
    widths = [bits for bits in WIDTHS if bits in member.bits] or list(member.bits)
    block_size = member.block_sizes[0] if member.block_sizes else BLOCK_SIZE
    exponents: list[int | None] = [None]
    if member.has_exponent_bits:
        exponents = sorted({exponent for bits in widths for exponent in member.legal_exponents(bits)})
    for exponent in exponents:
        fits = [bits for bits in widths if exponent is None or exponent in member.legal_exponents(bits)]
        specs = [
            QuantSpec(data_type=member.name, bits=bits, exponent_bits=exponent, block_size=block_size) for bits in fits
        ]
        yield Method(member.name, member.name, exponent, tuple(specs))


def methods_under_hosts(family: Family, member: Member) -> Iterator[Method]:
    """The member under each of the family's hosts that it is legal with, or under the first data type that it is."""
    options = {family.field: member.name, **dict(family.options)}
    found = [method for host in family.hosts if (method := under_host(host, member, options))]
    others = (method for host in members.DATA_TYPES if (method := under_host(host, member, options)))
    yield from found or [next(others)]


def under_host(host: str, member: Member, options: dict[str, object]) -> Method | None:
    """The data type, which states no E, with one more member; None where they do not go together."""
    data_type = members.DATA_TYPES[host]
    if host == "none" or data_type.has_exponent_bits:
        return None
    plain = next(methods_of_data_type(data_type))
    try:
        specs = [QuantSpec(**{**spec.model_dump(), **options}) for spec in plain.specs]
    except ValidationError:
        return None
    return Method(member.name, host, None, tuple(specs))


def all_specs() -> list[QuantSpec]:
    """Every spec of every method, once."""
    specs = [spec for family in FAMILIES for method in methods_of(family) for spec in method.specs]
    return list(dict.fromkeys(specs))
