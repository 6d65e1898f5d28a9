"""Where densities are greatest."""

import functools

import jax
import numpy as np
import pytest
from tests.infer.models import HEIGHTS, X, Y, flat, mean_of, narrow, posterior_of_mean, regression, two_peaks, wide

from surprax.infer.energy import Energy
from surprax.infer.modes import find_modes, newton, precise_energy, starting_points, widths


def modes_of(model, **options):
    energy = precise_energy(model, **options)
    with energy.scope():
        return find_modes(energy)


def rosenbrock(z):
    x, y = z
    value = (1 - x) ** 2 + 100 * (y - x * x) ** 2
    gradient = np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])
    hessian = np.array([[2 - 400 * (y - 3 * x * x), -400 * x], [-400 * x, 200.0]])
    return value, gradient, hessian


def test_newton_through_a_curved_valley():
    mode = newton(rosenbrock, np.array([-1.2, 1.0]))
    assert mode.found
    assert mode.position == pytest.approx([1.0, 1.0], abs=1e-2)


def test_newton_leaves_saddles():
    def monkey(z):  # x⁴ − x² + y²: a saddle at 0, minima at x = ±1/√2
        x, y = z
        return x**4 - x**2 + y**2, np.array([4 * x**3 - 2 * x, 2 * y]), np.diag([12 * x**2 - 2, 2.0])

    mode = newton(monkey, np.array([1e-3, 1.0]))
    assert mode.found
    assert np.abs(mode.position) == pytest.approx([0.5**0.5, 0.0], abs=1e-2)
    assert not newton(monkey, np.array([0.0, 0.0])).found


def test_newton_stops_where_there_is_no_bottom():
    mode = newton(lambda z: (-np.sum(z), -np.ones(2), np.zeros((2, 2))), np.zeros(2))
    assert not mode.found
    assert not newton(lambda z: (np.nan, z, np.eye(2)), np.zeros(2)).found


def test_mode_of_a_normal_posterior():
    mean, sd = posterior_of_mean(HEIGHTS)
    modes = modes_of(functools.partial(mean_of, HEIGHTS))
    assert all(mode.found for mode in modes)
    assert modes[0].position == pytest.approx([mean], abs=1e-3 * sd)
    assert widths(modes[0].curvature) == pytest.approx(np.array([[sd]]), rel=1e-6)


def test_modes_of_narrow_posteriors():
    mode = modes_of(functools.partial(narrow, np.array([1e9])))[0]
    assert mode.found
    assert mode.position == pytest.approx([2.1, np.log(1.3)], abs=1e-6)
    assert np.diagonal(mode.curvature) == pytest.approx([1e9 / 1.69, 2e9], rel=1e-6)


def test_both_of_two_modes():
    assert {round(float(mode.position[0]), 1) for mode in modes_of(two_peaks) if mode.found} == {-2.0, 2.0}


def test_a_flat_direction_has_no_mode():
    assert not any(mode.found for mode in modes_of(flat))


def test_many_free_numbers_of_all_scales():
    size = 210
    modes = modes_of(functools.partial(wide, size))
    loc, scale = np.linspace(-1.0, 1.0, size), np.exp(np.linspace(-4.0, 4.0, size))
    precision = np.diag(scale**-2.0)
    precision[:2, :2] += 1.0
    mean = np.linalg.solve(precision, scale**-2.0 * loc + np.r_[1.0, 1.0, np.zeros(size - 2)])
    assert modes[0].found
    assert np.all(np.abs(modes[0].position - mean) < 0.1 * scale)
    assert widths(modes[0].curvature) == pytest.approx(np.diagonal(precision) ** -0.5, rel=1e-6)


def test_widths_are_a_factor_of_the_inverse():
    a = np.random.default_rng(0).normal(size=(4, 4))
    curvature = np.diag([1e-6, 1.0, 1e6, 1e12]) ** 0.5 @ (a @ a.T + np.eye(4)) @ np.diag([1e-6, 1.0, 1e6, 1e12]) ** 0.5
    factor = widths(curvature)
    assert factor.T @ curvature @ factor == pytest.approx(np.eye(4), abs=1e-6)
    assert widths(np.array([4.0, 0.25])).tolist() == [0.5, 2.0]
    for bad in (
        np.diag([1.0, -1.0]),
        np.diag([1.0, 0.0]),
        np.full((2, 2), 1.0),
        np.full((2, 2), np.nan),
        np.array([-1.0]),
    ):
        assert widths(bad) is None


def test_starting_points_fill_the_cube():
    points = starting_points(7, 64)
    assert np.array_equal(points[0], np.zeros(7))
    assert np.all(np.abs(points) <= 2.0)
    counts = np.histogram2d(points[:, 0], points[:, 6], bins=2, range=[(-2, 2), (-2, 2)])[0]
    assert counts.min() > 8
    assert np.ptp(starting_points(1, 4)) > 1.0


def test_energy_is_minus_the_log_joint_with_the_jacobian():
    energy, bare = (Energy(functools.partial(regression, X, Y), jacobian=j) for j in (True, False))
    z = np.array([[0.5, -0.25, 0.1, 0.3]])
    with energy.scope():
        sites = energy.values(z)
        difference = energy.at(z) - bare.at(z)
    assert list(sites) == ["b", "a", "s", "ratio", "m"]
    assert sites["s"] == pytest.approx(np.exp(0.3))
    assert difference == pytest.approx(-0.3, abs=1e-3)  # log |ds/dz| = z
    assert "4 free numbers" in repr(energy)


def test_models_that_insist_on_float32_are_taken_as_they_are():
    import numpyro

    start = jax.numpy.zeros((), np.float32)

    def model():
        x = numpyro.sample("x", numpyro.distributions.Normal(0.0, 1.0))
        end, _ = jax.lax.scan(lambda c, _: (c + x, None), start, None, length=3)
        numpyro.factor("end", -0.5 * end**2)

    energy = precise_energy(model)
    assert not energy.float64
    with energy.scope():
        (mode, *_) = find_modes(energy)
    assert mode.found
    assert widths(mode.curvature) == pytest.approx(np.array([[0.1**0.5]]), rel=1e-3)
