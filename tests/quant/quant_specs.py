"""Specs of every member there is, so that a new one is tested by being listed."""

from collections.abc import Mapping

import torch
from hypothesis import strategies as st

from kbit.quant.codebooks import CODEBOOKS
from kbit.quant.statistics import Statistics
from kbit.spec.members import (
    CENTERINGS,
    DATA_TYPES,
    DEFAULT_CENTERING,
    DEFAULT_ROTATION,
    DEFAULT_SCALE_FORMAT,
    DEFAULT_SOLVER,
    OUTLIER_RULES,
    ROTATIONS,
    SCALE_FORMATS,
    SOLVERS,
    Member,
)
from kbit.spec.quant import QuantSpec

BLOCK_SIZES = [1, 3, 16, 64, "row", "tensor"]
FREE_SCALE_FORMATS = [name for name, member in SCALE_FORMATS.items() if not member.is_owned]
SOLVER_NAMES = tuple(name for name, member in SOLVERS.items() if member.built)
DATA_FREE_SOLVERS = tuple(name for name in SOLVER_NAMES if not SOLVERS[name].statistics)


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


def changed(spec: QuantSpec, **options: object) -> QuantSpec:
    """The same with other options, checked."""
    return QuantSpec(**{**spec.model_dump(exclude_unset=True), **options})


def centerings_of(data_type: str) -> list[str]:
    """The centerings that a spec of the data type may name."""
    return [DEFAULT_CENTERING] if DATA_TYPES[data_type].scaling == "range" else list(CENTERINGS)


def variants(data_type: str, block_size: int | str = 64) -> list[QuantSpec]:
    """`any_spec`, and that with one option changed: to each other member of every family, where the type allows it."""
    plain = any_spec(data_type, block_size)

    def others(members: Mapping[str, Member], default: str) -> list[str]:
        return [name for name, member in members.items() if member.built and name != default]

    return [
        plain,
        *[changed(plain, scale_format=name) for name in formats_of(data_type) if name != DEFAULT_SCALE_FORMAT],
        *[changed(plain, centered=name) for name in centerings_of(data_type) if name != DEFAULT_CENTERING],
        *[changed(plain, solver=name) for name in others(SOLVERS, DEFAULT_SOLVER)],
        *[changed(plain, rotation=name) for name in others(ROTATIONS, DEFAULT_ROTATION)],
        *[changed(plain, outlier_fraction=0.1, outlier_rule=name) for name in others(OUTLIER_RULES, "")],
    ]


def statistics_of(width: int) -> Statistics:
    """What any member may need of a layer with so many inputs: correlated ones, one of them always 0."""
    generator = torch.Generator().manual_seed(width)
    inputs = torch.randn(4 * width, width, generator=generator, dtype=torch.float64)
    inputs = inputs @ torch.randn(width, width, generator=generator, dtype=torch.float64) + 0.5
    inputs[:, :1] = 0.0
    moments = inputs.t() @ inputs / len(inputs)
    return Statistics(feeder_std=torch.rand(width, generator=generator), second_moments=moments)


@st.composite
def specs(
    draw: st.DrawFn,
    data_types: tuple[str, ...] = tuple(CODEBOOKS),
    scale_format: str = "",
    solvers: tuple[str, ...] = (DEFAULT_SOLVER,),
) -> QuantSpec:
    """Any legal spec of the data types and solvers, with any scale format and any centering unless one is named."""
    data_type = draw(st.sampled_from(data_types))
    spec = draw(st.sampled_from(every_spec(draw(st.sampled_from(BLOCK_SIZES)), (data_type,))))
    if scale_format:
        return changed(spec, scale_format=scale_format)
    return changed(
        spec,
        scale_format=draw(st.sampled_from(formats_of(data_type))),
        centered=draw(st.sampled_from(centerings_of(data_type))),
        solver=draw(st.sampled_from(solvers)),
    )


def slug(spec: QuantSpec) -> str:
    return spec.slug
