"""From a quantization spec's slug back to the spec."""

import re
from collections.abc import Iterable

from pydantic import ValidationError

from kbit.spec import members
from kbit.spec.errors import UserError
from kbit.spec.quant import CONTROL, QuantSpec

GRANULARITY = r"(?P<granularity>b\d+|row|tensor)(?P<options>(?:-.+)?)"
WIDTHS = r"(?:_?(?P<bits>\d+))?(?:e(?P<exponent_bits>\d+))?"


def parse_slug(text: str) -> QuantSpec:
    """The spec of a slug such as int4-b64 or float4e2-row. UserError if there is none.

    Of calibrated solvers' specs it lacks the calibration text, which no slug names: they cannot be had this way.
    """
    if text == CONTROL.slug:
        return CONTROL
    for data_type, member in members.DATA_TYPES.items():
        if match := re.fullmatch(f"{re.escape(data_type)}{WIDTHS}-{GRANULARITY}", text):
            try:
                spec = QuantSpec(data_type=data_type, **widths(match, member.bits), **others(match))
            except (ValidationError, ValueError):
                continue
            if spec.slug == text:
                return spec
    raise UserError(
        f"{text!r} is not a quantization spec: a data type with its bits, -bN, -row or -tensor, then options, as "
        "int4-b64, float4e2-b64 or nf4-b64-dq (`kbit plan STUDY` and the reports name those of a study)"
    )


def widths(match: re.Match, accepted: tuple[int, ...]) -> dict[str, int]:
    """Bits and exponent bits; a type of one width need not name it."""
    found = {name: int(match[name]) for name in ("bits", "exponent_bits") if match[name]}
    return {"bits": accepted[0], **found} if len(accepted) == 1 else found


def others(match: re.Match) -> dict[str, object]:
    """Block size and options. ValueError for one that is none."""
    granularity, text = match["granularity"], match["options"]
    found: dict[str, object] = {"block_size": int(granularity[1:]) if granularity[0] == "b" else granularity}
    pattern, at = option_pattern(), 0
    while at < len(text):
        option = pattern.match(text, at)
        if option is None:
            raise ValueError(text[at:])
        found |= {name: CASTS.get(name, str)(value) for name, value in option.groupdict().items() if value}
        at = option.end()
    return found


CASTS = {"outlier_fraction": float, "damping": float, "act_order": bool}


def option_pattern() -> re.Pattern:
    """One option with the hyphen before it; longer names come first, as some begin with others."""

    def one_of(names: Iterable[str]) -> str:
        return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))

    return re.compile(
        f"-(?:centered_(?P<centered>{one_of(members.CENTERINGS)})"
        rf"|p(?P<outlier_fraction>\d[\d.]*(?:e-\d+)?)(?:_(?P<outlier_rule>{one_of(members.OUTLIER_RULES)}))?"
        f"|(?P<scale_format>{one_of(members.SCALE_FORMATS)})"
        f"|(?P<solver>{one_of(members.SOLVERS)})"
        f"|(?P<rotation>{one_of(members.ROTATIONS)})"
        r"|damp(?P<damping>\d[\d.]*(?:e-\d+)?)"
        "|(?P<act_order>actorder))(?=-|$)"
    )
