"""The power law with floor against planted parameters, and its jackknife against a textbook interval."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from kbit.scaling.fitter import solve_problems
from kbit.scaling.jackknife import jackknife_interval
from kbit.scaling.laws.power_law import PowerForm, power_parameters, power_problem
from kbit.spec.quant import QuantSpec

SIZES = np.array([1e5, 4e5, 1.3e6, 3.2e6, 5e6])


def planted(bits, floor, scale, alpha):
    return floor + scale * bits**-alpha


def fit_power_law(bits, loss):
    """The solution of one set of points."""
    return solve_problems(PowerForm(), [power_problem(bits, loss)])[0]


def parameters(solution, bits):
    """(E, log A, alpha)"""
    return [parameter.value[0] for parameter in power_parameters(solution, bits).values()]


@pytest.mark.parametrize("floor", [0.2, 1.1, 2.0])
@pytest.mark.parametrize("alpha", [0.08, 0.25, 0.6])
@pytest.mark.parametrize("magnitude", [1.0, 1e6])
def test_planted_parameters_come_back(floor, alpha, magnitude):
    bits = SIZES * magnitude
    scale = 0.8 * bits[0] ** alpha
    law = fit_power_law(bits, planted(bits, floor, scale, alpha))
    assert law.converged.all()
    found = parameters(law, bits)
    # Noise-free data: what remains are residuals of about 1e-14, at which the descent ends, blown up by the correlation
    # of floor and exponent over less than two decades of sizes.
    assert found[0] == pytest.approx(floor, rel=1e-3)
    assert found[2] == pytest.approx(alpha, rel=1e-3)
    assert found[1] == pytest.approx(np.log(scale), rel=1e-3)


def test_one_odd_model_does_not_bend_the_curve():
    bits = np.geomspace(1e5, 1e8, 9)
    loss = planted(bits, 1.0, 20.0, 0.25)
    loss[4] *= 1.05
    law = fit_power_law(bits, loss)
    # Huber's loss is linear in a residual of 5 %, so it weighs like one of 0.1 %, the size below which it is quadratic.
    found = parameters(law, bits)
    assert found[2] == pytest.approx(0.25, rel=0.02)
    assert found[0] == pytest.approx(1.0, rel=0.02)


def test_the_jackknife_leaves_each_model_out():
    bits = np.geomspace(1e5, 1e8, 7)
    # So little noise that delta is the same for all of them, its least.
    loss = planted(bits, 1.0, 20.0, 0.25) * np.exp(np.random.default_rng(3).normal(0, 2e-4, 7))
    solution = fit_power_law(bits, loss)
    for left_out in range(7):
        fewer = np.delete(bits, left_out)
        alone = fit_power_law(fewer, np.delete(loss, left_out))
        # About the mean of all sizes there, about that of the others here. Each ends within 1e-10 of the least loss,
        # which is flat along floor and exponent.
        floor, log_scale, alpha = solution.deleted[left_out]
        found = [floor, log_scale + alpha * np.log(bits).mean(), alpha]
        assert found == pytest.approx(parameters(alone, fewer), rel=1e-4)


def test_without_a_floor_the_fit_stays_within_its_bounds():
    bits = SIZES
    law = fit_power_law(bits, planted(bits, 0.0, 50.0, 0.2))
    assert 0 <= law.theta[0] < 0.05
    # The fitted curve is right even where floor and exponent trade off.
    assert law.predicted == pytest.approx(50.0 * bits**-0.2, rel=1e-3)


def test_the_jackknife_of_a_mean_is_its_t_interval():
    values = np.array([1.0, 2.0, 4.0, 7.0, 11.0])
    mean = np.array([values.mean()])
    deleted = [np.array([np.delete(values, index).mean()]) for index in range(len(values))]
    low, high = jackknife_interval(mean, deleted)
    expected = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    assert (low[0], high[0]) == pytest.approx(expected, rel=1e-12)


@pytest.fixture
def losses(study, score):
    """Fit the power laws of a family of so many sizes with planted parameters and a little noise."""

    def fit(n_sizes):
        spec, noise = QuantSpec(data_type="int", bits=4, block_size=64), np.random.default_rng(5)
        scores = []
        for index, size in enumerate(np.geomspace(1e5, 1e7, n_sizes).astype(int).tolist()):
            loss = planted(size * 4.25, 1.0, 20.0, 0.25) * np.exp(noise.normal(0, 5e-4))
            scores.append(
                score("f", f"m{index}", size, spec, "pages", loss, 0.01, kind="perplexity", metric="nats_per_byte")
            )
        fits = study(scores).fit().filter((pl.col("fit") == "power_law") & (pl.col("bit_accounting") == "total_bits"))
        return {row["quantity"]: row for row in fits.iter_rows(named=True)}

    return fit


def test_the_fit_rows_hold_the_planted_parameters_in_their_intervals(losses):
    rows = losses(8)
    for quantity, truth in {"E": 1.0, "A": 20.0, "alpha": 0.25}.items():
        assert rows[quantity]["low"] < truth < rows[quantity]["high"]
        assert rows[quantity]["value"] == pytest.approx(truth, rel=0.2)
    assert rows["converged"]["value"] == 1
    assert rows["rms_log_residual"]["value"] < 1e-3
    rule = "points with a finite nats_per_byte and below 5.545; left out: 0"
    assert rows["alpha"]["settings"].startswith(f"{rule}; Huber delta ")
    assert rows["alpha"]["settings"].endswith(" of 5 starts agree")
    assert (rows["alpha"]["n"], rows["alpha"]["spec"], rows["alpha"]["bits"]) == (8, "int4-b64", 4)


def test_too_few_sizes_are_undetermined_and_say_how_many_are_needed(losses):
    rows = losses(4)
    assert set(rows) == {"alpha"}
    assert rows["alpha"]["status"] == "undetermined"
    assert rows["alpha"]["value"] is None
    assert "needs 5 sizes for 3 parameters, has 4" in rows["alpha"]["note"]
