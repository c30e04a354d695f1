"""The sentences of the verdict box say what the fits hold."""

import polars as pl
import pytest

from kbit.report.palette import bits_palette
from kbit.report.verdict import BEST_SELECTION, FIT_METRICS, family_card, share_rows, verdict_views
from kbit.scaling.fit_rows import FitRow, Subject, fit_frame, undetermined

SUBJECT = Subject("verdict", "Ada", "perplexity", "nats_per_byte", "body_bits", "best", "best", "best")
PALETTE = bits_palette([3, 4, 5, 16])


def test_card_states_best_k_share_gap_and_doubt():
    rows = [
        FitRow(SUBJECT, "best_bits", 12, "m", 4.0, 3.0, 4.0),
        FitRow(SUBJECT, "range_low", 12, "m", 20.25),
        FitRow(SUBJECT, "range_high", 12, "m", 23.5),
        FitRow(SUBJECT, "gap_to_runner_up", 12, "m", 0.0123, -0.001, 0.02, note="runner-up: 3 bits; more"),
        FitRow(SUBJECT, "share", 12, "m", 0.75, 0.5, 1.0, bits=4),
        FitRow(SUBJECT, "share", 12, "m", 0.25, 0.0, 0.5, bits=3),
        FitRow(SUBJECT, "win_rate", 12, "m", 0.93, bits=4),
    ]
    card = family_card(fit_frame(rows), "Ada", "loss", PALETTE)
    assert card["best"] == 4
    assert card["spread"] == " (95 %: 3 to 4)"
    assert (
        str(card["claim"]) == "Best on 75% [50%, 100%] of the common range, 2<sup>20.2</sup> to 2<sup>23.5</sup> bits."
    )
    assert card["detail"] == "Wins 93% of resamples. Mean lead over 3 bits: +0.0123 [−0.0010, +0.0200] nats per byte."
    assert {share["bits"]: share["share"] for share in card["shares"]} == {3: 0.25, 4: 0.75}


def test_card_without_verdict_says_what_is_missing():
    frame = fit_frame([undetermined(SUBJECT, "best_bits", 1, "m", "needs two sizes")])
    card = family_card(frame, "Ada", "loss", PALETTE)
    assert card["best"] is None
    assert card["detail"] == "needs two sizes"


def test_card_without_resamples_claims_no_interval():
    rows = [FitRow(SUBJECT, "best_bits", 12, "m", 4.0), FitRow(SUBJECT, "share", 12, "m", 1.0, bits=4)]
    card = family_card(fit_frame(rows), "Ada", "loss", PALETTE)
    assert card["spread"] == ""
    assert card["detail"] == "No interval."


def test_views_cover_every_switch_and_agree_with_the_fits(fits):
    families = ["Ada", "Bel & Co"]
    views = verdict_views(fits, families, bits_palette([3, 4, 5, 8, 16]))
    assert [view["key"] for view in views] == [
        "total_bits/loss",
        "total_bits/accuracy",
        "body_bits/loss",
        "body_bits/accuracy",
    ]
    decided = 0
    for view in views:
        accounting, metric = view["key"].split("/")
        for card in view["cards"]:
            of_card = (pl.col("family") == card["family"]) & (pl.col("metric") == FIT_METRICS[metric])
            best = fits.filter(
                of_card
                & (pl.col("fit") == "verdict")
                & (pl.col("bit_accounting") == accounting)
                & (pl.col("data_type") == "best")
                & (pl.col("quantity") == "best_bits")
            )["value"].to_list()
            assert [card["best"]] == best
            if card["best"]:
                decided += 1
                assert f"{card['best']} bits are best for" in view["sentence"]
    assert decided >= 4


def test_planted_winner_is_shown(fits):
    """The planted damage makes 3 bits and 16 bits lose everywhere."""
    for view in verdict_views(fits, ["Ada"], bits_palette([3, 4, 5, 8, 16])):
        if view["key"].endswith("/loss"):
            assert view["cards"][0]["best"] in (4, 5)


def test_shares_of_a_bar_sum_to_one(fits):
    shares = share_rows(fits)
    assert BEST_SELECTION in shares["selection"].to_list()
    sums = shares.group_by("metric", "accounting", "family", "selection").agg(pl.col("share").sum())
    assert sums.height >= 8
    # 1e-9: shares are whole multiples of 1/201.
    assert sums["share"].to_list() == pytest.approx([1.0] * sums.height, abs=1e-9)
    assert "float, block 64" in shares["selection"].to_list()
