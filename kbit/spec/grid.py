"""A grid: the product of choices that expands into quantization specs."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from pydantic import Field, ValidationError, model_validator

from kbit.spec import members
from kbit.spec.members import is_calibrated
from kbit.spec.quant import BlockSize, QuantSpec, check_choice
from kbit.spec.section import Section


class GridConfig(Section):
    """What is varied. Specs are the full product; only minifloats take exponent bits."""

    models: tuple[str, ...] = Field(
        default=("*",), min_length=1, description="Names or patterns of the study's models this grid is for."
    )
    tasks: tuple[str, ...] | None = Field(default=None, description="Tasks of this grid; all of the study's if absent.")
    data_types: tuple[str, ...] = Field(min_length=1, description="Codebook families.")
    bits: tuple[int, ...] = Field(min_length=1, description="Code widths k.")
    block_sizes: tuple[BlockSize, ...] = Field(min_length=1, description="Weights per absmax: a number, row or tensor.")
    exponent_bits: dict[int, tuple[int, ...]] = Field(
        default_factory=dict, description="For data types with exponent bits: k -> the E to try."
    )
    centered: tuple[str, ...] = Field(
        default=(members.DEFAULT_CENTERING,), min_length=1, description="none, tensor, block."
    )
    outlier_fractions: tuple[float, ...] = Field(
        default=(0.0,), min_length=1, description="Shares p of input dimensions kept at 16 bits."
    )
    outlier_rules: tuple[str, ...] = Field(
        default=(members.DEFAULT_OUTLIER_RULE,), min_length=1, description="How those are chosen."
    )
    scale_formats: tuple[str, ...] = Field(
        default=(members.DEFAULT_SCALE_FORMAT,), min_length=1, description="How an absmax is stored."
    )
    solvers: tuple[str, ...] = Field(
        default=(members.DEFAULT_SOLVER,), min_length=1, description="How codes are chosen."
    )
    rotations: tuple[str, ...] = Field(
        default=(members.DEFAULT_ROTATION,), min_length=1, description="Rotation of the input axis."
    )
    dampings: tuple[float, ...] = Field(
        default=(members.DEFAULT_DAMPING,), min_length=1, description="Of solver gptq: shares added to the diagonal."
    )
    act_orders: tuple[bool, ...] = Field(
        default=(False,), min_length=1, description="Of solver gptq: whether inputs of largest mean square come first."
    )

    @model_validator(mode="after")
    def check_specs(self) -> "GridConfig":
        for rule in self.outlier_rules:
            check_choice("outlier_rule", rule, members.OUTLIER_RULES)
        try:
            list(self.specs())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]) from None
        return self

    def specs(self, calibration: str | None = None) -> Iterator[QuantSpec]:
        """The grid's quantization specs, in the order written.

        calibration: of those that are calibrated (`kbit.spec.calibration.calibration_identity`).
        """
        options = product(
            self.block_sizes,
            self.centered,
            self.outlier_fractions,
            self.outlier_rules,
            self.scale_formats,
            list(self.solver_options(calibration)),
            self.rotations,
        )
        fields = ("block_size", "centered", "outlier_fraction", "outlier_rule", "scale_format", "solver", "rotation")
        for (data_type, bits), values in product(product(self.data_types, self.bits), list(options)):
            chosen = self.without_idle_options(data_type, dict(zip(fields, values, strict=True)))
            for exponent_bits in self.exponent_bits_of(data_type, bits):
                yield QuantSpec(data_type=data_type, bits=bits, exponent_bits=exponent_bits, **chosen)

    @staticmethod
    def without_idle_options(data_type: str, chosen: dict[str, Any]) -> dict[str, Any]:
        """Without what has no effect: written out or not, it is one spec and one cell."""
        if data_type == "none":
            return {}
        chosen |= chosen["solver"]
        if chosen["outlier_fraction"] == 0:
            del chosen["outlier_rule"]
        return chosen

    def solver_options(self, calibration: str | None) -> Iterator[dict[str, object]]:
        """Each solver, with each choice of the options that it has."""
        for solver in self.solvers:
            if not is_calibrated(solver):
                yield {"solver": solver}
                continue
            for damping, act_order in product(self.dampings, self.act_orders):
                yield {"solver": solver, "damping": damping, "act_order": act_order, "calibration": calibration}

    def exponent_bits_of(self, data_type: str, bits: int) -> tuple[int | None, ...]:
        known = members.DATA_TYPES.get(data_type)
        if known is None or not known.has_exponent_bits:
            return (None,)
        # A missing entry reaches QuantSpec as None, whose error says what is accepted.
        return self.exponent_bits.get(bits, (None,))
