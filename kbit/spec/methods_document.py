"""`docs/methods.md`: every method with formula, source, bits and error. Made of the lists of members and of one file of
measurements by `python -m kbit.spec.methods_document > docs/methods.md`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from kbit.spec.footprint import bits_per_param, count_footprint
from kbit.spec.member import Member
from kbit.spec.methods import FAMILIES, WIDTHS, Family, Method, methods_of
from kbit.spec.quant import QuantSpec

MEASURED = Path("bench/results/methods.json")
SIDE = 4096
"""Rows and columns of the weight whose bits are counted: tables of levels, and what is stored once, depend on it."""
ABSENT = "–"

HEAD = """\
# Methods

Every way to quantize a weight that a study can ask for. Generated from the lists of members (`kbit/spec/data_types.py`,
`kbit/spec/members.py`) and from what `python bench/methods.py` measured (`bench/results/methods.json`) by
`python -m kbit.spec.methods_document > docs/methods.md`; a test keeps it in step.

Notation: w is a weight, W the matrix [out, in] of a linear layer, k the width of a code, B the weights of a block, a
the block's extreme: its absmax, or what the data type divides by in its place. s is the scale as it is stored,
t = w / s, u a level of the data type, v its largest level (1 where nothing else is said), Q(w) the level times s that w
is rounded to. E and M are exponent and mantissa bits, e and m their fields, p is the share of input dimensions kept at
16 bits. Phi^-1 is the quantile function of N(0, 1).

The second table of each section has what a method costs, with B = 64 or the block of its standard:

* **bits**: per parameter, as the paper counts (`kbit.spec.footprint`), at k = 4, of a weight of {side} x {side}.
* **N(0, 1)**: mean squared error at k = 4 of {normal_samples:,} samples, a matrix of {normal_rows:,} rows, seed
  {normal_seed}.
* **weights**: the same of the quantized weights of the embedded model {model}, over their mean square.
* **+loss**: how much the loss of that model rises on held-out text, nats per byte ({n_items} items of {task}), ± the
  standard error of this paired difference; the 16-bit control has {control:.4f}. The cells are those of
  `config/methods.yaml`.

Empty ({absent}): the width does not exist, the method needs more of a layer than its weight, which N(0, 1) has not, or
nobody has measured it yet. The embedded model is tiny: the figures rank methods by the damage they do to it, not by
what they would do to a large one. `make study STUDY=methods` ranks them over five sizes at equal total bits, in its
report.
"""


def methods_document(measured: Mapping[str, object]) -> str:
    """The document. measured: what bench/methods.py writes."""
    about = measured["about"]
    head = HEAD.format(side=SIDE, absent=ABSENT, **about)
    sections = [section(family, measured["specs"]) for family in FAMILIES]
    return "\n".join([head, *sections])


def section(family: Family, measured: Mapping[str, Mapping[str, float]]) -> str:
    """Definitions of one family's members, then what its methods cost."""
    methods = methods_of(family)
    own = sorted({bits for method in methods for bits in widths_of_its_own(method)})
    titles = ["method", "bits", "N(0, 1)", "weights", *(f"+loss, k = {bits}" for bits in WIDTHS)]
    if own:
        titles.append(f"+loss, k = {' or '.join(map(str, own))}")
    definitions = table(["name", "what it is", "formula", "source"], [definition(m) for m in family.members.values()])
    costs = table(titles, [cost(method, measured, bool(own)) for method in methods])
    return f"## {family.title}\n\n{definitions}\n\n{costs}\n"


def definition(member: Member) -> list[str]:
    name = f"`{member.name}`" if member.built else f"`{member.name}` (planned, not evaluated yet)"
    return [name, member.summary, member.formula, member.source]


def cost(method: Method, measured: Mapping[str, Mapping[str, float]], has_own_widths: bool) -> list[str]:
    """One row: bits and errors of the spec at 4 bits, or of the method's own width; the loss at every width."""
    own = widths_of_its_own(method)
    spec = method.at(WIDTHS[-1]) or method.specs[-1]
    found = measured.get(spec.slug, {})
    losses = [loss_text(measured, method.at(bits)) for bits in WIDTHS]
    if has_own_widths:
        losses.append(loss_text(measured, method.at(own[0]) if own else None))
    bits = f"{paper_bits(spec):.4g}" + (f" (k = {spec.bits})" if own else "")
    return [method.name, bits, *(error_text(found.get(name)) for name in ("mse_normal", "mse_weights")), *losses]


def widths_of_its_own(method: Method) -> list[int]:
    """Widths other than WIDTHS, of a data type that has none of these."""
    return [spec.bits for spec in method.specs if spec.bits not in WIDTHS]


def paper_bits(spec: QuantSpec) -> float:
    """Bits per parameter of a weight of SIDE x SIDE."""
    if not isinstance(spec.block_size, int):
        return bits_per_param(spec)
    return count_footprint(spec, [(SIDE, SIDE)], 0).bits_per_param


def error_text(error: float | None) -> str:
    return ABSENT if error is None else f"{error:.3g}"


def loss_text(measured: Mapping[str, Mapping[str, float]], spec: QuantSpec | None) -> str:
    found = measured.get(spec.slug, {}) if spec else {}
    if found.get("loss_increase") is None:
        return ABSENT
    return f"{found['loss_increase']:+.4f} ± {found['loss_increase_stderr']:.4f}"


def table(titles: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; a vertical bar within a cell is no border."""
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(methods_document(json.loads(MEASURED.read_text())))
