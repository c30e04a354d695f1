"""The quantization spec: how one weight matrix is stored. What changes its bytes, and nothing else."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kbit.spec import members


def check_block_size(value: object) -> object:
    """Said in one sentence here, because a union of types would report one error per member."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not is_count and value not in ("row", "tensor"):
        raise ValueError(f"block_size {value!r} is not a positive number of weights, row or tensor")
    return value


BlockSize = Annotated[int | Literal["row", "tensor"], BeforeValidator(check_block_size)]


class QuantSpec(BaseModel):
    """One point of the quantization grid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_type: str = Field(
        description="Codebook family, one of kbit.spec.members.DATA_TYPES; `none` is the 16-bit control."
    )
    bits: int = Field(description="Width k of a code; 16 for the control.")
    exponent_bits: int | None = Field(default=None, description="Exponent bits E of a float; always explicit.")
    block_size: BlockSize = Field(
        default="tensor", description="Consecutive weights that share one absmax: a number, row or tensor."
    )
    centered: str = Field(
        default=members.DEFAULT_CENTERING, description="What mean is subtracted: none, tensor or block."
    )
    outlier_fraction: float = Field(default=0.0, ge=0, lt=1, description="Share p of input dimensions kept at 16 bits.")
    outlier_rule: str = Field(
        default=members.DEFAULT_OUTLIER_RULE, description="How the kept input dimensions are chosen."
    )
    scale_format: str = Field(default=members.DEFAULT_SCALE_FORMAT, description="How an absmax is stored.")
    solver: str = Field(default=members.DEFAULT_SOLVER, description="How codes are chosen.")
    rotation: str = Field(default=members.DEFAULT_ROTATION, description="Rotation of the input axis before quantizing.")

    @model_validator(mode="after")
    def check_members(self) -> "QuantSpec":
        check_choice("data_type", self.data_type, members.DATA_TYPES)
        check_choice("centered", self.centered, members.CENTERINGS)
        check_choice("outlier_rule", self.outlier_rule, members.OUTLIER_RULES)
        check_choice("scale_format", self.scale_format, members.SCALE_FORMATS)
        check_choice("solver", self.solver, members.SOLVERS)
        check_choice("rotation", self.rotation, members.ROTATIONS)
        self._check_bits()
        self._check_exponent_bits()
        return self

    def _check_bits(self) -> None:
        legal = members.DATA_TYPES[self.data_type].bits
        if self.bits not in legal:
            accepted = str(legal[0]) if len(legal) == 1 else f"{legal[0]} to {legal[-1]}"
            raise ValueError(f"bits {self.bits} is not legal for data_type {self.data_type!r}: accepted is {accepted}")

    def _check_exponent_bits(self) -> None:
        if not members.DATA_TYPES[self.data_type].has_exponent_bits:
            if self.exponent_bits is not None:
                raise ValueError(f"exponent_bits {self.exponent_bits} given, but data_type {self.data_type!r} has none")
            return
        # Seven exponent bits would put a subnormal fp32 midpoint into the codebook.
        largest = min(self.bits - 1, 6)
        if self.exponent_bits is None:
            raise ValueError(
                f"exponent_bits is missing for {self.bits}-bit {self.data_type}: accepted is 1 to {largest}"
            )
        if not 1 <= self.exponent_bits <= largest:
            raise ValueError(
                f"exponent_bits {self.exponent_bits} does not fit {self.bits} bits: accepted is 1 to {largest}"
            )

    @property
    def slug(self) -> str:
        """The spec's one name in slices, files, arguments and reports, such as int4-b64 or float4e2-row."""
        if self.data_type == "none":
            return "none16"
        joint = "_" if self.data_type[-1].isdigit() else ""
        exponent = f"e{self.exponent_bits}" if self.exponent_bits is not None else ""
        return "-".join([f"{self.data_type}{joint}{self.bits}{exponent}", self.granularity, *self.options])

    @property
    def granularity(self) -> str:
        return f"b{self.block_size}" if isinstance(self.block_size, int) else self.block_size

    @property
    def options(self) -> list[str]:
        """Slug parts of everything that is not at its default."""
        parts = []
        if self.centered != members.DEFAULT_CENTERING:
            parts.append(f"centered_{self.centered}")
        if self.outlier_fraction:
            rule = "" if self.outlier_rule == members.DEFAULT_OUTLIER_RULE else f"_{self.outlier_rule}"
            parts.append(f"p{self.outlier_fraction:g}{rule}")
        for value, default in (
            (self.scale_format, members.DEFAULT_SCALE_FORMAT),
            (self.solver, members.DEFAULT_SOLVER),
            (self.rotation, members.DEFAULT_ROTATION),
        ):
            if value != default:
                parts.append(value)
        return parts

    @property
    def used_members(self) -> dict[str, members.Member]:
        """The members that shape this spec's stored bytes, by field. The control uses its data type alone."""
        used = {"data_type": members.DATA_TYPES[self.data_type]}
        if self.data_type == "none":
            return used
        used["scale_format"] = members.SCALE_FORMATS[self.scale_format]
        used["solver"] = members.SOLVERS[self.solver]
        if self.centered != members.DEFAULT_CENTERING:
            used["centered"] = members.CENTERINGS[self.centered]
        if self.outlier_fraction:
            used["outlier_rule"] = members.OUTLIER_RULES[self.outlier_rule]
        if self.rotation != members.DEFAULT_ROTATION:
            used["rotation"] = members.ROTATIONS[self.rotation]
        return used

    @property
    def unbuilt(self) -> list[str]:
        """What this release plans but cannot evaluate, as field=value; empty for most specs."""
        return [f"{field}={member.name}" for field, member in self.used_members.items() if not member.built]

    def identity(self) -> dict[str, object]:
        """What enters the cell's digest: fields that differ from their default, and the versions of the members used.

        Defaults are left out so that a field added later does not change the identity of existing cells.
        """
        versions = {field: member.version for field, member in self.used_members.items()}
        return {**self.model_dump(mode="json", exclude_defaults=True), "versions": versions}


def check_choice(field: str, value: str, accepted: object) -> None:
    if value not in accepted:
        raise ValueError(f"{field} {value!r} is not one of {', '.join(accepted)}")


CONTROL = QuantSpec(data_type="none", bits=16)
