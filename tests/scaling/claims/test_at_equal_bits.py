"""Claims about curves at equal bits, in studies where the truth is planted: supported, refuted, undetermined."""

import numpy as np
import polars as pl
import pytest

from kbit.scaling.claims import CLAIMS, Subject
from kbit.scaling.claims.h03_parallel_curves import OFFSET, POWERS
from kbit.scaling.claims.h03_parallel_curves import find as find_parallel
from kbit.scaling.claims.views import decide, interval

# At equal bits a model of k bits has 16 / k times the weights, worth 0.1 nats for each factor of four.
SOUND = {16: 0.0, 8: -0.001, 4: -0.005, 3: -0.2}


@pytest.fixture
def family(plant, make_spec):
    def make(heights, **options):
        return plant({("f", make_spec(bits)): height for bits, height in heights.items()}, **options)

    return make


def test_every_claim_of_the_paper_is_listed_once():
    assert [claim.name for claim in CLAIMS] == [f"H{number}" for number in range(1, 15)]
    assert all(claim.statement.endswith(".") and claim.source for claim in CLAIMS)


def test_four_bits_are_best_where_they_are(family, status):
    assert status("H1", family(SOUND, verdicts=True)) == "supported"
    assert status("H1", family({**SOUND, 3: -0.005}, verdicts=True)) == "refuted"


def test_four_bits_are_not_judged_without_them_or_without_intervals(family, findings):
    (found, _) = findings("H1", family({16: 0.0, 8: -0.001}, verdicts=True))
    assert (found.status, found.missing) == ("undetermined", "points of 4 bits at two sizes or more")
    (found, _) = findings("H1", family(SOUND, stderr=None, verdicts=True))
    assert (found.status, found.value) == ("undetermined", 1.0)
    assert found.missing.startswith("an interval")
    (found, _) = findings("H1", family(SOUND, sizes=(100_000,), verdicts=True))
    assert found.status == "undetermined"
    assert "two k with scores at two sizes" in found.missing


def test_gains_are_steady_until_four_bits(family, status, findings):
    tables = family(SOUND)
    assert status("H2", tables) == "supported"
    # 8 to 4 bits: log2 of 8.25 / 4.25 doublings of the size at 0.05 nats each, less what 4 bits lose more than 8.
    gain = 0.05 * np.log2(8.25 / 4.25) - 0.004
    assert findings("H2", tables)[0].value == pytest.approx(gain, abs=1e-6)
    assert status("H2", family({**SOUND, 3: -0.001})) == "refuted"
    assert status("H2", family({**SOUND, 8: -0.1})) == "refuted"
    assert status("H2", family(SOUND, stderr=0.3)) == "undetermined"
    assert "points of 3 bits" in findings("H2", family({16: 0.0, 8: 0.0, 4: 0.0}))[0].missing


def comparison(offset, powers, note=""):
    rows = [{"quantity": OFFSET, "value": offset}, {"quantity": POWERS, "value": powers}]
    return pl.DataFrame(rows, schema_overrides={"value": pl.Float64}).with_columns(
        n=pl.lit(20), status=pl.lit("ok" if powers else "undetermined"), note=pl.lit(note)
    )


@pytest.mark.parametrize(
    ("offset", "powers", "expected"),
    [(0.01, 0.02, "supported"), (0.02, 0.01, "refuted"), (0.02, 0.021, "undetermined"), (0.02, None, "undetermined")],
)
def test_parallel_curves_go_by_held_out_errors(offset, powers, expected):
    found = find_parallel(Subject("f"), comparison(offset, powers, note="needs 5 sizes"))
    assert found.status == expected
    assert found.missing == ("needs 5 sizes" if powers is None else found.missing)


def test_the_laws_that_parallel_curves_need_are_fitted_under_these_names():
    from kbit.scaling.laws import LAWS, comparison

    assert {"offset", "bivariate_power", "comparison"} <= set(LAWS)
    assert {"offset", "bivariate_power"} <= set(comparison.PREDICTORS)


@pytest.fixture
def blocks(plant, make_spec):
    """A study with blocks of 64 and 1024; `gains` is by how much the small ones are better at each k."""

    def make(gains, **options):
        heights = {("f", make_spec(16)): 0.0}
        for bits, gain in gains.items():
            heights[("f", make_spec(bits, 1024))] = -0.05
            heights[("f", make_spec(bits, 64))] = -0.05 + gain
        return plant(heights, **options)

    return make


HELPS, HELPS_NOT = "smallest mean gain", "largest mean gain"
PAPER = {3: 0.1, 4: 0.05, 5: 0.03, 6: 0.003, 7: 0.002, 8: 0.002}


def test_small_blocks_help_below_six_bits_only(blocks, status):
    tables = blocks(PAPER)
    assert (status("H6", tables, HELPS), status("H6", tables, HELPS_NOT)) == ("supported", "supported")
    # 0.003: at 5 bits less than the 0.234 bits of the scales are worth, 0.05 log2(5.25 / 5.0156).
    assert status("H6", blocks({**PAPER, 5: 0.003}), HELPS) == "refuted"
    assert status("H6", blocks({**PAPER, 8: 0.06}), HELPS_NOT) == "refuted"


def test_small_blocks_are_not_judged_without_all_of_the_bits(blocks, findings, status):
    tables = blocks({3: 0.1, 4: 0.05})
    helps, helps_not = findings("H6", tables)[:2]
    assert (helps.status, helps.missing) == ("undetermined", "both block sizes at 5 bits")
    assert helps.value > 0
    assert "at 6 to 8 bits" in helps_not.missing
    assert status("H6", blocks({3: 0.1, 4: -0.01}), HELPS) == "refuted"


@pytest.fixture
def outliers(plant, make_spec):
    """A study with and without 2 % outliers, and by how much they help at 3 and at 4 bits."""

    def make(three, four):
        heights = {("f", make_spec(16)): 0.0}
        for bits, gain in ((3, three), (4, four)):
            heights[("f", make_spec(bits))] = -0.1
            heights[("f", make_spec(bits, outlier_fraction=0.02))] = -0.1 + gain
        # Another data type without outliers is no rival of theirs.
        heights[("f", make_spec(4, data_type="quantile"))] = 0.0
        return plant(heights)

    return make


def test_proxy_quantization_helps_at_three_bits_alone(outliers, status):
    tables = outliers(0.05, -0.001)
    assert (status("H11", tables, "3 bits"), status("H11", tables, "4 bits")) == ("supported", "supported")
    tables = outliers(-0.01, 0.05)
    assert (status("H11", tables, "3 bits"), status("H11", tables, "4 bits")) == ("refuted", "refuted")


def test_gptq_needs_blocks(plant, make_spec, status, findings):
    def make(gptq):
        heights = {("f", make_spec(16)): 0.0, ("f", make_spec(3)): -0.1}
        return plant({**heights, ("f", make_spec(3, "row", solver="gptq")): gptq})

    assert status("H14", make(-0.3)) == "supported"
    assert status("H14", make(-0.02)) == "refuted"
    (found, _) = findings("H14", plant({("f", make_spec(16)): 0.0, ("f", make_spec(3)): -0.1}))
    assert "3-bit GPTQ with one scale per row" in found.missing


def test_an_interval_decides_only_where_it_lies_on_one_side():
    subject = Subject("f")
    resamples = np.array([1.0, 0.5, 1.0, 1.5])
    assert decide(subject, "s", resamples, above=0).status == "supported"
    assert decide(subject, "s", resamples, below=0).status == "refuted"
    assert decide(subject, "s", resamples, above=1.2).status == "undetermined"
    assert decide(subject, "s", resamples[:1], above=0).missing.startswith("an interval")
    with pytest.raises(ValueError, match="above or below"):
        decide(subject, "s", resamples)


def test_an_interval_holds_the_central_resamples():
    resamples = np.concatenate([[0.5], np.arange(1, 1001) / 1000])
    assert interval(resamples) == (0.025, 0.975)
    assert interval(np.array([0.5, np.nan, 1.0])) == (None, None)
