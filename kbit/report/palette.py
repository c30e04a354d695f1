"""Colour and shape of every series, legible for colour-blind readers, on paper and in the dark.

Colours are Okabe and Ito's eight, darkened or lightened to keep 3:1 contrast with the page
(Okabe & Ito 2008, "Color Universal Design"). Shape is the second channel, so that no series is told by colour
alone. A chart names CSS variables (`var(--bits-4)`), which the stylesheet resolves for light, dark and print.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BLUE = ("#0b69a8", "#5ab4f0")
VERMILION = ("#c24e00", "#ff8a4c")
GREEN = ("#00805c", "#34c79a")
PURPLE = ("#a84f86", "#e79bc8")
ORANGE = ("#a87400", "#f0b32e")
SKY = ("#2b87b8", "#8fd3f7")
OLIVE = ("#6f6f00", "#d6cf4a")
INK = ("#3a3f45", "#d5d9de")
"""(light page, dark page)."""

CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, OLIVE, INK)
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")

BITS = {
    1: (OLIVE, "wedge"),
    2: (PURPLE, "triangle-left"),
    3: (VERMILION, "triangle-down"),
    4: (BLUE, "circle"),
    5: (GREEN, "square"),
    6: (ORANGE, "diamond"),
    7: (OLIVE, "triangle-right"),
    8: (PURPLE, "triangle-up"),
    16: (INK, "cross"),
}
"""Code width k -> colour and shape, the same in every study."""


@dataclass(frozen=True, slots=True)
class Series:
    """How one value of a series column is drawn."""

    value: str | int
    label: str
    variable: str
    """CSS variable that holds its colour."""
    light: str
    dark: str
    shape: str


Palette = tuple[Series, ...]


def bits_palette(values: Iterable[int]) -> Palette:
    """Series of the code widths, narrow to wide; a width keeps its colour in every report."""
    return tuple(Series(k, f"{k}-bit", f"--bits-{k}", *BITS[k][0], BITS[k][1]) for k in sorted(values))


def cycle_palette(name: str, values: Iterable[str | int], labels: Mapping[str | int, str] | None = None) -> Palette:
    """Series of other columns in the order given; past eight values, colours repeat with the next shape."""
    palette = []
    for index, value in enumerate(values):
        lap, place = divmod(index, len(CYCLE))
        shape = SHAPES[(place + lap) % len(SHAPES)]
        palette.append(Series(value, (labels or {}).get(value, value), f"--{name}-{index}", *CYCLE[place], shape))
    return tuple(palette)


def css_variables(palettes: Iterable[Palette]) -> str:
    """The colours as custom properties that follow the page's colour scheme."""
    lines = [f"  {s.variable}: light-dark({s.light}, {s.dark});" for palette in palettes for s in palette]
    return ":root {\n" + "\n".join(lines) + "\n}\n"
