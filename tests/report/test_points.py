"""The rows that charts draw."""

import polars as pl
import pytest

from kbit.report.points import ANY_RULE, HALF, MAIN_TEXT, OTHER_RULE, exponent_rules, page_points


@pytest.fixture(scope="module")
def points(frames, fits):
    return page_points(frames, fits)


def test_one_row_per_point_in_the_tables_order(points, frames):
    assert points.select("model", "spec").equals(frames["points"].select("model", "spec"))


def test_change_is_the_planted_damage(points, synthetic):
    """Loss differs from the control by damage x data type x block alone, whatever the model."""
    quantized = points.filter((pl.col("data_type") != "none") & pl.col("loss").is_not_null())
    assert quantized.height > 100
    for row in quantized.to_dicts():
        factor = synthetic.TYPE_FACTOR[row["data_type"]] * synthetic.BLOCK_FACTOR[row["block_size"]]
        # 1e-12: two sums of a handful of doubles of order one.
        assert row["loss_change"] == pytest.approx(synthetic.DAMAGE[row["bits"]] * factor, abs=1e-12)


def test_control_has_no_change(points):
    control = points.filter(pl.col("data_type") == "none")
    assert control["loss_change"].to_list() == [0.0] * control.height
    assert control["block_size"].is_null().all()


def test_points_without_scores_have_null(points):
    by_key = {(row["model"], row["spec"]): row for row in points.to_dicts()}
    collapsed = by_key["ada-1", "int3-b1024"]
    assert collapsed["loss"] is None
    assert collapsed["loss_change"] is None
    assert collapsed["accuracy"] is not None
    failed = by_key["bel-2", "int5-b64"]
    assert failed["accuracy"] is None  # one of its two zero-shot tasks has no score, and half a mean is none
    assert failed["n_tasks"] == 1


def test_early_checkpoint_is_not_final(points):
    early = points.filter(~pl.col("final"))["model"].unique().to_list()
    assert early == ["ada-1-early"]
    assert points.filter("has_checkpoints")["model"].unique().sort().to_list() == ["ada-1", "ada-1-early"]


def test_float_is_named_with_its_exponent_bits(points):
    names = points.filter(pl.col("bits") == 4)["codebook"].unique().sort().to_list()
    assert names == ["dynamic", "float E2", "float E3", "int", "quantile"]


def test_exponent_rules():
    """At 4 bits the paper's two rules disagree; at 3 they agree; at 5 a third E follows neither."""
    kinds = [
        ("int", 4, None),
        ("float", 3, 2),
        ("float", 3, 1),
        ("float", 4, 2),
        ("float", 4, 3),
        ("float", 5, 3),
        ("float", 5, 4),
    ]
    frame = pl.DataFrame(
        kinds, schema={"data_type": pl.String, "bits": pl.Int32, "exponent_bits": pl.Int32}, orient="row"
    )
    rules = {row[:3]: row[3] for row in exponent_rules(frame).iter_rows()}
    assert rules == {
        ("int", 4, None): ANY_RULE,
        ("float", 3, 2): ANY_RULE,
        ("float", 3, 1): OTHER_RULE,
        ("float", 4, 2): HALF,
        ("float", 4, 3): MAIN_TEXT,
        ("float", 5, 3): ANY_RULE,
        ("float", 5, 4): OTHER_RULE,
    }
