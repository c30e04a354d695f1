"""Every listed figure, with no figure named here: a new one is tested by being listed."""

import re
from pathlib import Path

import polars as pl
import pytest

from kbit.report import figures
from kbit.report.figures import FIGURES
from kbit.report.labels import COLUMN_LABELS
from kbit.report.methods import METHOD_SCHEMA, method_rows
from kbit.report.palette import BITS, CYCLE, bits_palette, cycle_palette
from kbit.report.points import COLUMNS, page_points
from kbit.report.render import in_scope
from kbit.report.verdict import SHARE_SCHEMA, share_rows
from kbit.spec import members

TABLES = {"points": set(COLUMNS), "shares": set(SHARE_SCHEMA), "methods": set(METHOD_SCHEMA)}
PAPER = {"light": (0xFF, 0xFE, 0xFB), "dark": (0x14, 0x17, 0x1B)}
"""--paper of page/style.css."""


def by_name(figure):
    return figure.name


@pytest.fixture(params=FIGURES, ids=by_name)
def figure(request):
    return request.param


def test_every_file_of_a_figure_is_listed():
    folder = Path(figures.__file__).parent
    with_figure = {file.stem for file in folder.glob("*.py") if "\nFIGURE = " in file.read_text(encoding="utf-8")}
    listed = {figure.name.replace("-", "_") for figure in FIGURES}
    assert with_figure == listed


def test_columns_exist_and_are_labelled(figure):
    known = TABLES[figure.table]
    chosen = {select.field for select in figure.selects}
    used = {figure.series, *figure.panels, *figure.columns, *figure.where, *figure.needs, *figure.follows, *chosen}
    assert used <= known
    unlabelled = [column for column in figure.columns if column not in COLUMN_LABELS]
    assert unlabelled == []


def names_in(value: object, key: str) -> set[str]:
    """All strings under `key`, anywhere in a specification."""
    if isinstance(value, dict):
        found = {value[key]} if isinstance(value.get(key), str) else set()
        return found.union(*(names_in(item, key) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(names_in(item, key) for item in value))
    return set()


def test_specifications_read_known_fields(figure):
    computed = {"x", "start", "end", "middle", "rank", "low", "high"}
    for view in figure.to_dict()["views"].values():
        assert view["spec"]["data"] == {"name": "rows"}
        assert (
            names_in(view["spec"]["layer"] if "layer" in view["spec"] else view["spec"], "field")
            <= TABLES[figure.table] | computed
        )
        assert view["y"] in TABLES[figure.table]


def test_axes_name_the_bit_accounting(figure):
    """A figure over bits says which count it uses, on the axis and in the caption (design §5)."""
    names = {"total_bits": "total model bits", "body_bits": "body bits"}
    for key, view in figure.to_dict()["views"].items():
        if figure.x != "accounting":
            continue
        mine, other = names[key.split("/")[0]], names[({*names} - {key.split("/")[0]}).pop()]
        titles = names_in(view["spec"], "title")
        assert f"log₂ {mine}" in titles
        assert f"log₂ {other}" not in titles
        assert mine in view["caption"]


def luminance(rgb: tuple[int, int, int]) -> float:
    """Relative luminance, WCAG 2.2."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", PAPER)
def test_every_colour_has_contrast_with_the_page(scheme):
    """3:1, what WCAG 2.2 asks of graphics (success criterion 1.4.11)."""
    style = (Path(figures.__file__).parents[1] / "page" / "style.css").read_text(encoding="utf-8")
    page = "#{:02x}{:02x}{:02x}".format(*PAPER[scheme])
    assert page in re.search(r"--paper: light-dark\((.*)\);", style).group(1)
    for colours in CYCLE:
        colour = colours[0 if scheme == "light" else 1]
        rgb = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
        lighter, darker = sorted((luminance(rgb), luminance(PAPER[scheme])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, colour


def test_series_differ_in_colour_and_in_shape():
    legal = {bits for member in members.DATA_TYPES.values() for bits in member.bits}
    assert legal <= set(BITS)
    for palette in (bits_palette(BITS), cycle_palette("x", [str(i) for i in range(24)])):
        assert len({(s.light, s.shape) for s in palette}) == len(palette)
        assert len({s.variable for s in palette}) == len(palette)
    assert len({shape for _, shape in BITS.values()}) == len(BITS)  # shape alone tells every k


def test_filters_leave_points_of_a_real_study(figure, frames, fits):
    """No figure is empty for a study that varies everything."""
    points = page_points(frames, fits)
    drawn = {"points": points, "shares": share_rows(fits), "methods": method_rows(fits, points)}
    assert in_scope(figure, drawn[figure.table])


def test_figure_without_rows_is_left_out(frames, fits):
    """A study without earlier checkpoints has no figure about training."""
    rows = page_points(frames, fits).filter("final")
    rows = rows.with_columns(pl.lit(False).alias("has_checkpoints"))
    assert [figure.name for figure in FIGURES if figure.table == "points" and not in_scope(figure, rows)] == [
        "training"
    ]
