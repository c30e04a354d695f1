"""Verdicts of invented studies whose answer is known, through the real tables."""

import hashlib
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from kbit.scaling import fit_study, verdict_table
from kbit.scaling.laws.verdict import parallelism, percentile_interval
from kbit.scaling.metrics import UNIFORM_NATS_PER_BYTE
from kbit.spec.quant import CONTROL, QuantSpec

SIZES = (100_000, 400_000, 1_600_000)
INT3, INT4 = (QuantSpec(data_type="int", bits=bits, block_size=64) for bits in (3, 4))
DAMAGE = {"none16": 0.0, "int4-b64": 0.02, "int3-b64": 0.30}


def planted_loss(size, spec):
    """2 nats per byte less 0.1 for each doubling of the size, plus the damage of the spec."""
    return 2 - 0.1 * np.log2(size / SIZES[0]) + DAMAGE[spec.slug]


@pytest.fixture
def losses(score):
    """Scores of a family on one perplexity task."""

    def make(sizes=SIZES, specs=(CONTROL, INT4, INT3), family="f", loss=planted_loss, **changes):
        fixed = {"kind": "perplexity", "metric": "nats_per_byte"} | changes
        return [
            score(family, f"{family}{size}", size, spec, "pages", float(loss(size, spec)), **fixed)
            for size in sizes
            for spec in specs
        ]

    return make


def verdict(fits, data_type="best", accounting="total_bits", family="f", metric="nats_per_byte"):
    rows = fits.filter(
        (pl.col("fit") == "verdict")
        & (pl.col("data_type") == data_type)
        & (pl.col("bit_accounting") == accounting)
        & (pl.col("family") == family)
        & (pl.col("metric") == metric)
    )
    return {(row["quantity"], row["bits"]): row for row in rows.iter_rows(named=True)}


def test_the_planted_winner_wins_by_the_planted_gap(study, losses):
    found = verdict(study(losses()).fit())
    # At equal bits a k-bit model has 16/(k + 1/4) times the control's weights: log2 of that doublings, 0.1 nats each.
    gain4, gain3 = 0.1 * np.log2(16 / 4.25) - 0.02, 0.1 * np.log2(16 / 3.25) - 0.30
    assert found["best_bits", None]["value"] == 4
    assert found["share", 4]["value"] == 1
    # All curves are straight lines, so distances are the same everywhere but for the rounding of whole bits.
    assert found["gap_to_best", 16]["value"] == pytest.approx(-gain4, rel=1e-4)
    assert found["gap_to_best", 3]["value"] == pytest.approx(gain3 - gain4, rel=1e-4)
    assert found["gap_to_runner_up", None]["value"] == pytest.approx(gain4, rel=1e-4)
    assert "runner-up: 16 bits" in found["gap_to_runner_up", None]["note"]
    assert found["gap_to_next_lower", 4]["value"] == pytest.approx(gain4 - gain3, rel=1e-4)
    assert found["parallelism", 3]["value"] == pytest.approx(0, abs=1e-4)
    assert found["range_low", None]["value"] == pytest.approx(np.log2(16 * SIZES[0]), rel=1e-9)
    assert found["range_high", None]["value"] == pytest.approx(np.log2(3.25 * SIZES[-1]), rel=1e-9)
    assert found["best_bits", None]["n"] == 9


def test_lower_loss_and_higher_accuracy_are_better(study, losses):
    # The same numbers read as accuracies: the most damaged spec now looks best.
    accuracy = losses(kind="zero-shot", metric="acc")
    found = verdict(study(accuracy).fit(), metric="mean_zero_shot_accuracy")
    assert found["best_bits", None]["value"] == 3


def test_both_counts_of_bits_are_judged(study, losses):
    # Three quarters of each model stay at 16 bits: in total bits 4-bit weights save little, in body bits all.
    scores = losses()
    for changed in scores:
        changed.body_parameters = changed.parameters // 4
    fits = study(scores).fit()
    total, body = verdict(fits), verdict(fits, accounting="body_bits")
    saved = 0.1 * np.log2(16 / (0.25 * 4.25 + 0.75 * 16)) - 0.02
    assert total["gap_to_best", 16]["value"] == pytest.approx(-saved, rel=1e-3)
    assert body["gap_to_best", 16]["value"] == pytest.approx(-(0.1 * np.log2(16 / 4.25) - 0.02), rel=1e-3)


def test_every_data_type_and_block_size_has_its_verdict_and_the_best_takes_the_better(study, losses):
    worse = QuantSpec(data_type="dynamic", bits=4, block_size=64)
    extra = losses(specs=(worse,), loss=lambda size, _: planted_loss(size, INT4) + 0.5)
    fits = study(losses() + extra).fit()
    assert verdict(fits, "int")["best_bits", None]["value"] == 4
    assert verdict(fits, "dynamic")["best_bits", None]["value"] == 16
    best = verdict(fits)
    assert best["best_bits", None]["value"] == 4
    assert "best of several specs: 2 at 4 bits" in best["best_bits", None]["note"]
    assert best["gap_to_best", 3]["value"] == pytest.approx(verdict(fits, "int")["gap_to_best", 3]["value"], rel=1e-9)


def test_a_collapsed_model_counts_as_a_bad_one_not_as_a_missing_one(study, losses):
    scores = losses()
    for changed in scores:
        if changed.model == f"f{SIZES[1]}" and changed.spec == INT4:
            changed.status, changed.value = "collapsed", None
    found = verdict(study(scores).fit())
    assert found["best_bits", None]["value"] == 16
    # The 4-bit curve now runs through ln 256 nats per byte in the middle of its range.
    assert found["gap_to_best", 4]["value"] < -0.2 * UNIFORM_NATS_PER_BYTE


def test_the_gap_over_models_is_a_jackknife_over_the_sizes(study, losses):
    quirks = dict(zip((1e5, 3e5, 1e6, 3e6, 1e7), (0.01, -0.02, 0.015, 0.0, -0.005), strict=True))

    def quirky(size, spec):
        return planted_loss(size, spec) + (quirks[size] if spec == INT4 else 0)

    found = verdict(study(losses(sizes=[int(size) for size in quirks], loss=quirky)).fit())

    def gap(sizes):
        """4 bits over 16 bits by hand: both curves interpolated on 201 points of their common range."""
        x4, x16 = (np.log2([round(size * bits) for size in sizes]) for bits in (4.25, 16))
        grid = np.linspace(max(x4[0], x16[0]), min(x4[-1], x16[-1]), 201)
        loss4, loss16 = ([quirky(size, spec) for size in sizes] for spec in (INT4, CONTROL))
        return np.mean(np.interp(grid, x16, loss16) - np.interp(grid, x4, loss4))

    deleted = np.array([gap([size for size in quirks if size != left_out]) for left_out in quirks])
    se = np.sqrt(4 / 5 * ((deleted - deleted.mean()) ** 2).sum())
    row = found["gap_over_models", None]
    assert row["value"] == pytest.approx(gap(list(quirks)), rel=1e-9)
    # 2.776: 97.5 % point of t with 4 degrees of freedom, four digits.
    assert row["high"] - row["value"] == pytest.approx(2.776 * se, rel=2e-4)
    assert row["low"] < row["value"] < row["high"]


def test_three_sizes_are_too_few_for_the_gap_over_models(study, losses):
    row = verdict(study(losses()).fit())["gap_over_models", None]
    assert (row["status"], row["value"]) == ("undetermined", None)
    assert "needs 4 sizes to leave one out, has 3" in row["note"]


def test_early_checkpoints_do_not_enter_the_curves(study, losses):
    finished = losses(tokens_seen=30)
    early = losses(loss=lambda *_: 0.5, tokens_seen=3)
    for changed in early:
        changed.model += "-early"
    fits = study(finished + early).fit()
    assert verdict(fits)["best_bits", None]["n"] == 9
    assert verdict(fits)["gap_to_best", 16] == verdict(study(finished).fit())["gap_to_best", 16]


@pytest.mark.parametrize(
    ("scores", "missing"),
    [
        (lambda losses: losses(sizes=SIZES[:1]), "the family has 1 size"),
        (lambda losses: losses(specs=(INT4,)), "needs two k with scores at two sizes or more"),
        (lambda losses: losses(sizes=(1000, 1001), specs=(CONTROL, INT4)), "the curves share no range of bits"),
    ],
    ids=["one size", "one k", "no overlap"],
)
def test_a_family_without_a_verdict_says_what_is_missing(study, losses, scores, missing):
    found = verdict(study(scores(losses)).fit())
    assert set(found) == {("best_bits", None)}
    row = found["best_bits", None]
    assert (row["status"], row["value"], row["low"]) == ("undetermined", None, None)
    assert missing in row["note"]


def test_parallelism_is_the_spread_of_the_distance_over_its_mean():
    distance = np.array([[1.0, 0.0], [3.0, 0.0]])
    assert parallelism(distance)[0] == 0.5
    assert np.isnan(parallelism(distance)[1])


def test_the_interval_is_of_values_that_occurred_and_leaves_the_estimate_out():
    resamples = np.concatenate([[1e9], np.arange(1, 1001)])
    assert percentile_interval(resamples) == (25, 975)
    assert percentile_interval(np.array([1.0])) == (None, None)


def test_the_verdict_table_names_the_best_k_of_every_family(study, losses):
    lone = losses(sizes=SIZES[:1], family="lone")
    rows = verdict_table(study(losses(stderr=1e-3) + lone).fit())
    assert [(row["family"], row["at fixed"]) for row in rows] == [
        ("f", "total bits"), ("f", "body bits"), ("lone", "total bits"), ("lone", "body bits"),
    ]  # fmt: skip
    first = rows[0]
    assert (first["best k"], first["95 %"], first["wins resamples"]) == ("4 bits", "[4, 4]", "100%")
    assert first["share of range"] == "100% [100%, 100%]"
    assert first["gap to runner-up"].startswith("+0.1713 [+0.1")
    assert first["gap to runner-up"].endswith("(16 bits)")
    assert rows[2]["best k"] == "undetermined"
    assert "the family has 1 size" in rows[2]["gap to runner-up"]
    assert all(set(row) == set(first) and all(isinstance(text, str) for text in row.values()) for row in rows)


def test_a_fit_tells_how_far_it_is(study, losses):
    invented, told = study(losses()).build(), []
    fit_study(invented.tables, invented.parts, invented.fits, told.append)
    n = pl.read_parquet(invented.fits).group_by("fit").len()
    assert told[0] == "resampling nats_per_byte of f: 9 points"
    assert set(told[1:]) == {f"{fit}: {count} fitted quantities" for fit, count in n.iter_rows()}


def test_the_same_study_gives_the_same_bytes(study, losses):
    digests = set()
    for order in (1, -1):
        invented = study(losses(stderr=0.01)[::order])
        invented.fit()
        digests.add(hashlib.sha256(invented.fits.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_fitting_imports_no_torch():
    code = "import sys, kbit.scaling; sys.exit(bool({'torch', 'transformers', 'lm_eval'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
