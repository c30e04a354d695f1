"""The rows of the ranked methods."""

import polars as pl
import pytest

from kbit.report.methods import ENOUGH, METHOD_SCHEMA, method_rows


@pytest.fixture
def points(frames):
    """What the figure needs of the page's points."""
    return frames["points"].with_columns(pl.lit("none").alias("option"))


def test_rows_are_the_laws_differences(fits, points):
    rows = method_rows(fits, points)
    assert rows.schema == METHOD_SCHEMA
    keys = ("metric", "accounting", "family", "bits")
    of_four = rows.filter((pl.col("metric") == "loss") & (pl.col("accounting") == "total_bits") & (pl.col("bits") == 4))
    ada = {row["spec"]: row for row in of_four.filter(pl.col("family") == "Ada").iter_rows(named=True)}
    assert set(ada) >= {"int4-b64", "float4e2-b64", "float4e3-b64", "dynamic4-b64", "quantile4-b64"}
    assert ada["int4-b64"]["difference"] == 0
    # All store 4.25 bits a weight, so the differences are those of the damages: 0.03 times a factor by data type.
    for spec, factor in (("float4e2-b64", 0.85), ("dynamic4-b64", 1.15), ("quantile4-b64", 0.8)):
        assert ada[spec]["difference"] == pytest.approx(0.03 * (factor - 1), abs=1e-9)
        assert ada[spec]["bits_per_param"] == 4.25
    assert rows.select(*keys, "spec").is_unique().all()
    # Five sizes can do without one of them, three cannot.
    has_interval = of_four.group_by("family").agg(pl.col("models_low").is_not_null().all())
    assert dict(has_interval.iter_rows()) == {"Ada": True, "Bel & Co": False}


def test_a_family_with_few_methods_is_left_out(fits, points):
    names = ["int4-b64", "float4e2-b64", "dynamic4-b64", "quantile4-b64"]
    assert len(names) < ENOUGH
    few = fits.filter((pl.col("family") != "Ada") | pl.col("spec").is_in(names))
    assert method_rows(few, points)["family"].unique().to_list() == ["Bel & Co"]
