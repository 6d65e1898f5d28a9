"""Directions that stray from a direction that is itself believed: against the integrals that define them."""

import jax
import numpy as np
import pytest
import scipy.special as sp

import surprax as sx

SETTINGS = [(0.0, 0.0), (0.5, 3.0), (3.0, 0.5), (20.0, 8.0), (0.0, 5.0), (300.0, 700.0)]
each = pytest.mark.parametrize(("one", "two"), SETTINGS)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def von_mises(angle, kappa):
    return np.exp(kappa * (np.cos(angle) - 1.0)) / (2.0 * np.pi * sp.ive(0, kappa))


@each
def test_angles_have_the_density_of_a_sum(one, two):
    """The trapezoidal rule around a circle converges faster than any power."""
    x = np.linspace(-3.0, 3.1, 23)
    t = np.linspace(-np.pi, np.pi, 4096, endpoint=False)
    truth = np.mean(von_mises(x[:, None] - t, two) * von_mises(t - 0.4, one), axis=1) * 2.0 * np.pi
    found = sx.ConvolvedVonMises(0.4, one, two).log_prob(x)
    seen = truth > 1e-12  # below, the rounding of its terms is what is left of the sum
    np.testing.assert_allclose(found[seen], np.log(truth[seen]), rtol=1e-9, atol=1e-9)
    assert np.all(np.asarray(found)[~seen] < np.log(1e-12))


@each
def test_angles_have_mean_and_circular_variance_of_their_draws(one, two):
    d = sx.ConvolvedVonMises(0.4, one, two)
    x = np.asarray(d.sample(jax.random.key(1), (100_000,)))
    length = np.mean(np.cos(x - 0.4))
    assert 1.0 - float(d.variance) == pytest.approx(length, abs=5.0 * np.std(np.cos(x - 0.4)) / np.sqrt(len(x)) + 1e-12)
    assert float(d.mean) == pytest.approx(0.4)


@each
def test_directions_of_the_plane_are_angles(one, two):
    x = np.linspace(-3.0, 3.1, 23)
    plane = sx.ConvolvedVonMisesFisher([np.cos(0.4), np.sin(0.4)], one, two)
    on_circle = np.stack([np.cos(x), np.sin(x)], axis=-1)
    np.testing.assert_allclose(
        plane.log_prob(on_circle), sx.ConvolvedVonMises(0.4, one, two).log_prob(x), rtol=1e-9, atol=1e-9
    )


@each
def test_directions_of_space_have_the_density_of_the_integral(one, two):
    """Over a sphere: Gauss and Legendre's rule in the cosine of the angle to the pole, the trapezoidal rule around it."""

    def density(cosine, kappa):
        return np.exp(kappa * (cosine - 1.0)) * (
            kappa / (-2.0 * np.pi * np.expm1(-2.0 * kappa)) if kappa else 0.25 / np.pi
        )

    away = np.array([0.0, 0.3, 1.0, 2.5])  # of x from the mean direction, which is the pole
    nodes, weights = np.polynomial.legendre.leggauss(600)
    around = np.linspace(0.0, 2.0 * np.pi, 600, endpoint=False)
    root = np.sqrt(1.0 - nodes**2)
    truth = []
    for angle in away:
        cosine = nodes[:, None] * np.cos(angle) + root[:, None] * np.sin(angle) * np.cos(around)
        inner = density(cosine, two).mean(axis=1) * 2.0 * np.pi
        truth.append(np.sum(weights * inner * density(nodes, one)))
    truth = np.array(truth)
    d = sx.ConvolvedVonMisesFisher([0.0, 0.0, 1.0], one, two)
    x = np.stack([np.sin(away), 0.0 * away, np.cos(away)], axis=-1)
    seen = truth > 1e-12
    np.testing.assert_allclose(np.asarray(d.log_prob(x))[seen], np.log(truth[seen]), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "make", [lambda: sx.ConvolvedVonMises(4.0, 1.0, 1.0), lambda: sx.ConvolvedVonMises(0.0, -1.0, 1.0)]
)
def test_parameters_out_of_their_domain_are_refused(make):
    with pytest.raises(ValueError, match="ConvolvedVonMises"):
        make()
