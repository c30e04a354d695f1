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


LARGEST_OUTLIER_FRACTION = 0.5
CALIBRATED_FIELDS = ("damping", "act_order", "calibration")
"""What only the specs of calibrated solvers have."""

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
    outlier_fraction: float = Field(
        default=0.0, description="Share p of input dimensions kept at 16 bits, at most half of them."
    )
    outlier_rule: str = Field(
        default=members.DEFAULT_OUTLIER_RULE, description="How the kept input dimensions are chosen."
    )
    scale_format: str = Field(default=members.DEFAULT_SCALE_FORMAT, description="How an absmax is stored.")
    solver: str = Field(default=members.DEFAULT_SOLVER, description="How codes are chosen.")
    rotation: str = Field(default=members.DEFAULT_ROTATION, description="Rotation of the input axis before quantizing.")
    damping: float = Field(
        default=members.DEFAULT_DAMPING, description="Of solver gptq: added to the second moments, share of their mean."
    )
    act_order: bool = Field(default=False, description="Of solver gptq: inputs of the largest mean square come first.")
    calibration: str | None = Field(
        default=None, description="Of solver gptq: sequences x length - digest of these and of the text."
    )

    @model_validator(mode="before")
    @classmethod
    def fill_in_scale_format(cls, values: object) -> object:
        """A data type with a scale format of its own has it, unless the spec says something else, which is refused."""
        if not isinstance(values, dict):
            return values
        data_type = members.DATA_TYPES.get(str(values.get("data_type")))
        chosen = values.get("scale_format", members.DEFAULT_SCALE_FORMAT)
        if data_type is None or not data_type.own_scale_format or chosen != members.DEFAULT_SCALE_FORMAT:
            return values
        return {**values, "scale_format": data_type.own_scale_format}

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
        self._check_block_size()
        self._check_scale_format()
        self._check_outlier_fraction()
        self._check_centered()
        self._check_calibrated()
        return self

    def _check_bits(self) -> None:
        legal = members.DATA_TYPES[self.data_type].bits
        if self.bits not in legal:
            accepted = str(legal[0]) if len(legal) == 1 else f"{legal[0]} to {legal[-1]}"
            raise ValueError(f"bits {self.bits} is not legal for data_type {self.data_type!r}: accepted is {accepted}")

    def _check_exponent_bits(self) -> None:
        data_type = members.DATA_TYPES[self.data_type]
        if not data_type.has_exponent_bits:
            if self.exponent_bits is not None:
                raise ValueError(f"exponent_bits {self.exponent_bits} given, but data_type {self.data_type!r} has none")
            return
        legal = data_type.legal_exponents(self.bits)
        accepted = str(legal[0]) if len(legal) == 1 else f"{legal[0]} to {legal[-1]}"
        if self.exponent_bits is None:
            raise ValueError(f"exponent_bits is missing for {self.bits}-bit {self.data_type}: accepted is {accepted}")
        if self.exponent_bits not in legal:
            raise ValueError(
                f"exponent_bits {self.exponent_bits} does not fit {self.bits} bits: accepted is {accepted}"
            )

    def _check_block_size(self) -> None:
        legal = members.DATA_TYPES[self.data_type].block_sizes
        if legal and self.block_size not in legal:
            raise ValueError(
                f"block_size {self.block_size} is not legal for data_type {self.data_type!r}: "
                f"accepted is {', '.join(map(str, legal))}"
            )

    def _check_scale_format(self) -> None:
        data_type, scale_format = members.DATA_TYPES[self.data_type], members.SCALE_FORMATS[self.scale_format]
        if data_type.own_scale_format and self.scale_format != data_type.own_scale_format:
            problem = f"data_type {self.data_type!r} has its own: leave it out, or say {data_type.own_scale_format}"
        elif scale_format.is_owned and not data_type.own_scale_format:
            problem = "it belongs to data types of its standard"
        elif data_type.scaling == "signed" and not scale_format.signed:
            signed = [name for name, other in members.SCALE_FORMATS.items() if other.signed and not other.is_owned]
            problem = f"data_type {self.data_type!r} needs one with a sign: accepted is {', '.join(signed)}"
        else:
            return
        raise ValueError(f"scale_format {self.scale_format!r} is not legal here: {problem}")

    def _check_outlier_fraction(self) -> None:
        if not 0 <= self.outlier_fraction <= LARGEST_OUTLIER_FRACTION:
            raise ValueError(
                f"outlier_fraction {self.outlier_fraction:g} is not legal: accepted is 0 to {LARGEST_OUTLIER_FRACTION}"
            )
        if self.outlier_fraction and self.rotation != members.DEFAULT_ROTATION:
            raise ValueError(
                f"outlier_fraction {self.outlier_fraction:g} is not legal with rotation {self.rotation!r}, after which "
                f"input dimensions are mixed: accepted is 0, or rotation {members.DEFAULT_ROTATION}"
            )

    def _check_centered(self) -> None:
        if self.centered != members.DEFAULT_CENTERING and members.DATA_TYPES[self.data_type].scaling == "range":
            raise ValueError(
                f"centered {self.centered!r} is not legal for data_type {self.data_type!r}, which subtracts a minimum: "
                f"accepted is {members.DEFAULT_CENTERING}"
            )

    def _check_calibrated(self) -> None:
        if not 0 < self.damping <= 1:
            raise ValueError(f"damping {self.damping:g} is not legal: accepted is more than 0, at most 1")
        if self.is_calibrated:
            return
        for name in CALIBRATED_FIELDS:
            if (value := getattr(self, name)) != type(self).model_fields[name].default:
                raise ValueError(f"{name} {value!r} is given, but solver {self.solver!r} is not calibrated")

    @property
    def is_calibrated(self) -> bool:
        """Whether quantizing looks at what the layers are given, of a calibration text."""
        return "second_moments" in self.needed_statistics

    @property
    def has_own_scale_format(self) -> bool:
        """Whether the data type comes with its scale format, and its levels with their standard's magnitudes."""
        return bool(members.DATA_TYPES[self.data_type].own_scale_format)

    @property
    def slug(self) -> str:
        """The spec's one name in slices, files, arguments and reports, such as int4-b64 or float4e2-row."""
        if self.data_type == "none":
            return "none16"
        exponent = f"e{self.exponent_bits}" if self.exponent_bits is not None else ""
        return "-".join([f"{self._type_and_bits}{exponent}", self.granularity, *self.options])

    @property
    def _type_and_bits(self) -> str:
        """int4, float-bnb039_4, and mxfp4 for a type of one width whose name says it."""
        if self.data_type.endswith(str(self.bits)) and len(members.DATA_TYPES[self.data_type].bits) == 1:
            return self.data_type
        return f"{self.data_type}{'_' if self.data_type[-1].isdigit() else ''}{self.bits}"

    @property
    def granularity(self) -> str:
        return f"b{self.block_size}" if isinstance(self.block_size, int) else self.block_size

    @property
    def options(self) -> list[str]:
        """Slug parts of everything that is not at its default; a data type's own scale format is its default.

        The calibration text is left out: a study has one.
        """
        parts = []
        if self.centered != members.DEFAULT_CENTERING:
            parts.append(f"centered_{self.centered}")
        if self.outlier_fraction:
            rule = "" if self.outlier_rule == members.DEFAULT_OUTLIER_RULE else f"_{self.outlier_rule}"
            parts.append(f"p{self.outlier_fraction:g}{rule}")
        for value, default in (
            (self.scale_format, members.DATA_TYPES[self.data_type].own_scale_format or members.DEFAULT_SCALE_FORMAT),
            (self.solver, members.DEFAULT_SOLVER),
            (self.rotation, members.DEFAULT_ROTATION),
        ):
            if value != default:
                parts.append(value)
        if self.damping != members.DEFAULT_DAMPING:
            parts.append(f"damp{self.damping:g}")
        if self.act_order:
            parts.append("actorder")
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

    @property
    def needed_statistics(self) -> frozenset[str]:
        """What quantizing takes beside the weight: fields of `kbit.quant.statistics.Statistics`."""
        return frozenset(member.statistics for member in self.used_members.values()) - {""}

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
