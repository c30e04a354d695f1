"""95 % intervals of every law hold what was planted in simulated studies: 60 here, 400 in bench/coverage.py."""

import json
import math
from pathlib import Path

import pytest
from coverage import SEED, is_good, verdict
from coverage_cases import CASES, cover
from scipy import stats

BENCH = Path(__file__).parents[2] / "bench"
SIMULATIONS = 60
# What 60 intervals of a true coverage of 0.92 hold with a chance of 0.9999: some 30 parameters are tested.
LEAST = stats.binom.ppf(1e-4, SIMULATIONS, 0.92) / SIMULATIONS
RECORDED = json.loads((BENCH / "results/coverage.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.law)
def test_intervals_hold_the_planted_parameters(case):
    shares = cover(case, SIMULATIONS, SEED + 1)
    assert shares.keys() == case.truth.keys()
    for quantity, (share, intervals) in shares.items():
        assert intervals >= SIMULATIONS, quantity
        assert share >= LEAST, quantity
    # All of them would hold if intervals were as wide as one likes: 60 of 60 for every parameter has no chance.
    assert min(share for share, _ in shares.values()) < 1


def test_the_recorded_run_holds_its_bounds_and_is_what_the_readme_quotes():
    lines, is_fine = verdict(RECORDED["rows"])
    assert is_fine
    assert {(row["law"], row["quantity"]) for row in RECORDED["rows"]} == {
        (case.law, quantity) for case in CASES for quantity in case.truth
    }
    assert "\n".join(lines) in (BENCH / "README.md").read_text()


@pytest.mark.parametrize("change", [{"share": 0.91}, {"share": 0.995}, {"share": math.nan}, {"intervals": 399}])
def test_a_share_outside_the_bounds_or_a_missing_interval_is_a_miss(change):
    row = {"share": 0.95, "simulations": 400, "intervals": 400}
    assert is_good(row)
    assert not is_good(row | change)
