"""Every form: its derivatives against differences, and planted parameters that come back without noise."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from kbit.scaling.fitter import Points, Problem, fit_points, solve_problems
from kbit.scaling.forms import LinearForm, PenaltyForm
from kbit.scaling.laws.bivariate_power import TwoPowersForm, two_powers_parameters, two_powers_problem
from kbit.scaling.laws.effective_parameters import EffectiveForm, effective_parameters, effective_problem
from kbit.scaling.laws.power_law import PowerForm

SIZES = np.geomspace(1e5, 3e8, 9)
KS = np.array([3.0, 4, 5, 6, 8, 16])
MODEL, N, K = (axis.ravel() for axis in np.broadcast_arrays(np.arange(9)[:, None], SIZES[:, None], KS))
RANDOM = np.random.default_rng(7)

FORMS = {
    "power": (PowerForm(), [1.1, 0.3, 0.4], RANDOM.normal(size=(5, 1))),
    "two powers": (TwoPowersForm(), [1.1, 0.3, 0.4, -0.5, 1.2], RANDOM.normal(size=(5, 2))),
    "effective": (
        EffectiveForm(2),
        [0.4, 0.3, 1.1, 1.3, 0.2, -0.1],
        np.column_stack([RANDOM.normal(size=5), [3, 4, 5, 8, 16], [1, 1, 0, 0, 1], [0, 0, 1, 1, 0]]),
    ),
    "penalty": (
        PenaltyForm((-9.0,) * 3, (9.0,) * 3),
        [-1.0, 0.4, -0.7],
        np.column_stack([np.full(5, 2.0), np.ones(5), RANDOM.normal(size=(5, 2))]),
    ),
    "linear": (LinearForm(3), [2.0, -0.1, 0.02], RANDOM.normal(size=(5, 3))),
}


@pytest.mark.parametrize(("form", "theta", "inputs"), FORMS.values(), ids=FORMS)
def test_derivatives_are_those_of_the_prediction(form, theta, inputs):
    assert form.n_parameters == len(theta)
    _, derivatives = form.predict(np.array([theta]), inputs[None])
    by_differences = approx_fprime(theta, lambda at: form.predict(at[None], inputs[None])[0][0], 1e-7)
    # Differences over 1e-7 keep half of the sixteen digits.
    assert derivatives[0] == pytest.approx(by_differences, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("form", "theta", "inputs"), FORMS.values(), ids=FORMS)
def test_starts_lie_within_the_bounds(form, theta, inputs):
    value = form.predict(np.array([theta]), inputs[None])[0]
    points = Points(inputs[None], value, np.ones_like(value))
    low, high = form.bounds(points)
    starts = form.starts(points)
    assert starts.shape[2] == len(theta)
    assert ((starts >= low[:, None]) & (starts <= high[:, None])).all()


def test_effective_parameters_come_back_for_two_families():
    family = MODEL % 2
    floor, scale = np.array([1.0, 1.2])[family], np.array([20.0, 14.0])[family]
    value = floor + scale * (N * (1 - np.exp(-K / 1.7))) ** -0.25
    solution = solve_problems(EffectiveForm(2), [effective_problem(N, K, value, MODEL, family)])[0]
    found = {name: found.value[0] for name, found in effective_parameters(solution, N, ["f", "g"]).items()}
    truth = {"gamma": np.log(1.7), "alpha": 0.25, "E[f]": 1.0, "E[g]": 1.2, "A[f]": np.log(20), "A[g]": np.log(14)}
    # Without noise what remains is where the descent ends, at residuals of 1e-10.
    assert found == pytest.approx(truth, rel=1e-4)
    assert solution.converged.all()
    assert solution.agreeing >= 2


def test_two_powers_come_back_from_fifty_random_seeds_at_the_same_optimum():
    """A published size of problem: 240 noisy points of Hoffmann et al.'s loss over parameters N and tokens D."""
    random = np.random.default_rng(240)
    n, d = np.exp(random.uniform(np.log(4e7), np.log(1.6e10), 240)), np.exp(random.uniform(21, 27, 240))
    loss = (1.69 + 406.4 / n**0.34 + 410.7 / d**0.28) * np.exp(random.normal(0, 0.003, 240))
    problem = two_powers_problem(n, d, loss, np.zeros(240, dtype=np.intp))
    every = Points(problem.inputs[None], problem.value[None], np.ones((1, 240)))
    # Each seed draws eight starts from all over the plausible box.
    low, high = np.array([0.1, -4, 0.05, -4, 0.05]), np.array([1.8, 1, 1.5, 1, 1.5])
    starts = np.stack([np.random.default_rng(seed).uniform(low, high, (8, 5)) for seed in range(50)])
    found = fit_points(TwoPowersForm(), every.take(np.zeros(50, dtype=np.intp)), starts)
    own = fit_points(TwoPowersForm(), every, TwoPowersForm().starts(every))
    assert found.converged.all()
    # Delta follows from the first descent, whose loss is nearly piecewise linear: flat to 1e-4 of its parameters.
    assert found.theta == pytest.approx(np.tile(own.theta, (50, 1)), rel=1e-3)
    assert own.theta[0, [0, 2, 4]] == pytest.approx((1.69, 0.34, 0.28), rel=0.1)


def test_two_powers_are_told_in_their_own_units():
    second = K / 2
    value = 1.0 + 30.0 * N**-0.3 + 0.8 * second**-1.5
    solution = solve_problems(TwoPowersForm(), [two_powers_problem(N, second, value, MODEL)])[0]
    found = {name: parameter.value[0] for name, parameter in two_powers_parameters(solution, N, second).items()}
    truth = {"E": 1.0, "A": np.log(30), "alpha": 0.3, "B": np.log(0.8), "beta": 1.5}
    assert found == pytest.approx(truth, rel=1e-4)


def test_problems_of_different_lengths_do_not_touch_each_other():
    x = np.linspace(-1, 1, 12)
    design = np.column_stack([np.ones(12), x])
    noise = np.random.default_rng(1).normal(0, 0.01, 12)
    long = Problem(design, 3 + 0.5 * x + noise, np.arange(12) % 4)
    short = Problem(design[:8], 2 - 0.1 * x[:8] + noise[:8], np.arange(8) % 4)
    together, alone = solve_problems(LinearForm(2), [long, short]), solve_problems(LinearForm(2), [short])[0]
    assert len(together[0].residuals) == 12
    # The optimum is the same; the order of sums is not.
    assert together[1].theta == pytest.approx(alone.theta, rel=1e-7)
    assert together[1].deleted == pytest.approx(alone.deleted, rel=1e-7)
