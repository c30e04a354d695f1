"""Many bounded Huber fits at once against scipy's optimizer, one at a time."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from kbit.scaling import huber
from kbit.scaling.huber import huber_cost, minimize_huber

DELTA = np.full(12, 0.05)
X = np.linspace(-1, 2, 9)


def model_of(targets):
    """y = a + exp(b x), residuals and derivatives of the problems asked for."""

    def model(theta, problems):
        power = np.exp(theta[:, 1:] * X)
        return theta[:, :1] + power - targets[problems], np.stack([np.ones_like(power), X * power], axis=2)

    return model


@pytest.fixture
def targets():
    """f64 [12, 9]: curves with noise, every third with one point far off, and floors down to far below the bound."""
    noise = np.random.default_rng(4)
    floors, exponents = np.linspace(-1, 1, 12)[:, None], np.linspace(0.2, 0.9, 12)[:, None]
    curves = floors + np.exp(exponents * X) + noise.normal(0, 0.03, (12, len(X)))
    curves[::3, 4] += 5
    return curves


def test_every_problem_ends_as_low_as_with_scipy_and_within_its_bounds(targets):
    low, high = np.tile([0.0, 0.0], (12, 1)), np.tile([2.0, 3.0], (12, 1))
    found = minimize_huber(model_of(targets), np.tile([0.5, 0.5], (12, 1)), low, high, DELTA)
    assert found.converged.all()
    assert ((found.theta >= low) & (found.theta <= high)).all()
    assert (found.theta[0, 0], found.theta[-1, 0]) == (0, pytest.approx(1, abs=0.1))
    for number, target in enumerate(targets):
        alone = model_of(target[None])
        by_scipy = least_squares(
            lambda theta, alone=alone: alone(theta[None], np.array([0]))[0][0],
            [0.5, 0.5], bounds=([0, 0], [2, 3]), loss="huber", f_scale=DELTA[0], xtol=1e-12, ftol=1e-12, gtol=1e-12,
        )  # fmt: skip
        # Both stop within about 1e-10 of the minimum; scipy stays off the bounds by as much.
        assert found.cost[number] == pytest.approx(by_scipy.cost, rel=1e-7)


def test_a_problem_does_not_depend_on_those_beside_it(targets):
    low, high, start = (np.tile(values, (12, 1)) for values in ([0.0, 0.0], [2.0, 3.0], [0.5, 0.5]))
    together = minimize_huber(model_of(targets), start, low, high, DELTA)
    alone = minimize_huber(model_of(targets[5:6]), start[5:6], low[5:6], high[5:6], DELTA[5:6])
    # Sums over nine points may run in another order in another batch.
    assert together.theta[5] == pytest.approx(alone.theta[0], rel=1e-9)


def test_a_descent_that_is_cut_off_says_so(targets, monkeypatch):
    monkeypatch.setattr(huber, "MAX_STEPS", 2)
    low, high, start = (np.tile(values, (12, 1)) for values in ([0.0, 0.0], [2.0, 3.0], [0.5, 0.5]))
    found = minimize_huber(model_of(targets), start, low, high, DELTA)
    assert not found.converged.any()
    assert (found.cost < huber_cost(model_of(targets)(start, np.arange(12))[0], DELTA)).all()


def test_the_loss_is_quadratic_up_to_delta_and_linear_beyond():
    # 0.03^2 / 2 and 0.05 * 1 - 0.05^2 / 2.
    assert huber_cost(np.array([[0.03, -1.0]]), DELTA[:1]) == pytest.approx([0.00045 + 0.04875], rel=1e-12)
