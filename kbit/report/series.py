"""The palettes of one report: for every column that separates curves, panels or choices, its values in order."""

import polars as pl

from kbit.report.palette import Palette, bits_palette, cycle_palette
from kbit.report.points import CONTROL, NO_OPTION
from kbit.report.verdict import BEST_SELECTION
from kbit.scaling.fit_rows import ALL
from kbit.spec import members


def page_palettes(points: pl.DataFrame, shares: pl.DataFrame, fits: pl.DataFrame) -> dict[str, Palette]:
    """Column -> its series. Orders are fixed by meaning, not by what a study happens to hold first."""
    sizes = points.filter("has_checkpoints")["parameters"].unique().sort().to_list()
    exponents = points["exponent_bits"].drop_nulls().unique().sort().to_list()
    return {
        "bits": bits_palette(points["bits"].unique().to_list()),
        "codebook": cycle_palette("codebook", ordered_codebooks(points)),
        "block_size": cycle_palette(
            "block", ordered_blocks(points), {"row": "one absmax per row", "tensor": "one absmax per tensor"}
        ),
        "exponent_bits": cycle_palette("exponent", exponents, {e: f"E = {e}" for e in exponents}),
        "option": cycle_palette("option", ordered_options(points), {NO_OPTION: "no option"}),
        "family": cycle_palette("family", ordered_families(points, fits)),
        "parameters": cycle_palette("size", sizes, {size: f"{size:,} parameters" for size in sizes}),
        "selection": cycle_palette("selection", ordered_selections(shares)),
        "spec": cycle_palette("spec", fits.filter(pl.col("fit") == "equal_bits")["spec"].unique().sort().to_list()),
    }


def ordered_options(points: pl.DataFrame) -> list[str]:
    """The spec without any first."""
    return sorted(points["option"].unique().to_list(), key=lambda option: (option != NO_OPTION, option))


def ordered_codebooks(points: pl.DataFrame) -> list[str]:
    """In the order of the members, fewer exponent bits first; the control is no codebook."""
    rank = {name: index for index, name in enumerate(members.DATA_TYPES)}
    rows = (
        points.filter(pl.col("data_type") != CONTROL).select("data_type", "exponent_bits", "codebook").unique().rows()
    )
    known = sorted(
        (rank.get(data_type, len(rank)), data_type, exponent or 0, name) for data_type, exponent, name in rows
    )
    return [name for *_, name in known]


def ordered_blocks(points: pl.DataFrame) -> list[str]:
    """Small to large: numbers, then row, then tensor."""
    large = {"row": 1, "tensor": 2}
    values = points["block_size"].drop_nulls().unique().to_list()
    return sorted(values, key=lambda value: (large.get(value, 0), 0 if value in large else int(value)))


def ordered_families(points: pl.DataFrame, fits: pl.DataFrame) -> list[str]:
    """By number of sizes, most first: the family with the longest curves decides most."""
    fitted = set(fits["family"].unique().to_list()) - {ALL}
    sizes = (
        points.group_by("family")
        .agg(pl.col("parameters").n_unique().alias("sizes"))
        .sort("sizes", "family", descending=[True, False])
    )
    return [*sizes["family"], *sorted(fitted - set(sizes["family"]))]


def ordered_selections(shares: pl.DataFrame) -> list[str]:
    names = shares["selection"].unique().to_list()
    return sorted(names, key=lambda name: (name != BEST_SELECTION, name))
