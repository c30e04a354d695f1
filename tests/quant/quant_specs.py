"""Specs of every member there is, so that a new one is tested by being listed."""

from hypothesis import strategies as st

from kbit.quant.codebooks import CODEBOOKS
from kbit.spec.members import DATA_TYPES, DEFAULT_SCALE_FORMAT, SCALE_FORMATS
from kbit.spec.quant import QuantSpec

BLOCK_SIZES = [1, 3, 16, 64, "row", "tensor"]
FREE_SCALE_FORMATS = [name for name, member in SCALE_FORMATS.items() if not member.is_owned]


def every_spec(block_size: int | str = 64, data_types: tuple[str, ...] = tuple(CODEBOOKS)) -> list[QuantSpec]:
    """Every data type at every width, and every E that a width allows, at its own block size if it has one."""
    return [
        QuantSpec(
            data_type=name,
            bits=bits,
            exponent_bits=exponent,
            block_size=DATA_TYPES[name].block_sizes[0] if DATA_TYPES[name].block_sizes else block_size,
        )
        for name in data_types
        for bits in DATA_TYPES[name].bits
        for exponent in DATA_TYPES[name].legal_exponents(bits) or [None]
    ]


def any_spec(data_type: str, block_size: int | str = 64) -> QuantSpec:
    """One spec of a data type: 4 bits where it has them, two exponent bits where it needs some."""
    specs = every_spec(block_size, (data_type,))
    return min(specs, key=lambda spec: (abs(spec.bits - 4), abs((spec.exponent_bits or 2) - 2)))


def formats_of(data_type: str) -> list[str]:
    """The scale formats that a spec of the data type may name."""
    member = DATA_TYPES[data_type]
    if member.own_scale_format:
        return [DEFAULT_SCALE_FORMAT]
    return [name for name in FREE_SCALE_FORMATS if SCALE_FORMATS[name].signed or member.scaling != "signed"]


@st.composite
def specs(draw: st.DrawFn, data_types: tuple[str, ...] = tuple(CODEBOOKS), scale_format: str = "") -> QuantSpec:
    """Any legal spec of the data types, with any scale format unless one is named."""
    data_type = draw(st.sampled_from(data_types))
    spec = draw(st.sampled_from(every_spec(draw(st.sampled_from(BLOCK_SIZES)), (data_type,))))
    chosen = scale_format or draw(st.sampled_from(formats_of(data_type)))
    return QuantSpec(**{**spec.model_dump(exclude={"scale_format"}), "scale_format": chosen})


def slug(spec: QuantSpec) -> str:
    return spec.slug
