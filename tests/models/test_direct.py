"""The direct form of a cell's energy: as exact, where it is used, as the divergence from the fit."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import surprax as sx
from surprax.families.scores import at_maximum, below_peak, excess_of, has_direct_peak, peak_of
from surprax.models.exponential import DIGITS

RNG = np.random.default_rng(5)
N = 2_000

LAWS = {
    "gamma": (sx.Gamma, RNG.gamma(2.3, 0.7, N)),
    "gamma of a small shape": (sx.Gamma, RNG.gamma(0.05, 3.0, N) + 1e-300),
    "gamma that hardly varies": (sx.Gamma, 1e3 * RNG.gamma(1e8, 1.0, N)),
    "inverse gamma": (sx.InverseGamma, 1e-6 / RNG.gamma(4.0, 1.0, N)),
    "normal far from 0": (sx.Normal, 1e7 + RNG.normal(size=N)),
    "narrow normal": (sx.Normal, 1e-9 * RNG.normal(3.0, 1.0, N)),
    "lognormal": (sx.LogNormal, np.exp(50.0 + RNG.normal(size=N))),
    "exponential": (sx.Exponential, RNG.exponential(1e12, N)),
    "half-normal": (sx.HalfNormal, np.abs(RNG.normal(size=N))),
    "beta": (sx.Beta, RNG.beta(0.4, 30.0, N)),
    "beta that hardly varies": (sx.Beta, RNG.beta(3e7, 2e7, N)),
}


@pytest.fixture(scope="module", autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", LAWS)
def test_direct_form_is_the_divergence_to_the_digits_it_says(name):
    family, x = LAWS[name]
    evidence = family.evidence(x)
    many = evidence * (1e7 / N)
    e, fit, ok = at_maximum(many)
    assert has_direct_peak(family, {})
    assert ok
    peak, size = peak_of(e, fit)
    allowed = 4.0 * float(e.count * size) * np.finfo(np.float64).eps
    names = family.parameters
    center = np.array([float(getattr(fit, n)) for n in names])
    curvature = jax.hessian(lambda p: excess_of(e, fit, None, family(*p)))(center)
    widths = 1.0 / np.sqrt(np.diagonal(curvature))

    def both(form):
        return jax.jit(jax.value_and_grad(lambda p: form(family(*p))))

    direct, divergence = both(lambda q: below_peak(e, peak, q)), both(lambda q: excess_of(e, fit, None, q))
    for steps in (0.0, 0.01, 1.0, 30.0):
        for signs in np.ndindex(*(2,) * len(names)):
            p = center + steps * widths * (2.0 * np.array(signs) - 1.0)
            (a, slope), (b, other) = direct(p), divergence(p)
            assert abs(a - b) <= allowed + 1e-12 * abs(b)
            # What the slope is off leads a standard deviation no farther than what the energy is off.
            assert np.max(np.abs(slope - other) * widths) <= allowed + 1e-9 * np.max(np.abs(other) * widths)


def test_very_many_rows_are_told_by_the_divergence():
    def model(x, weight):
        a, b = numpyro.sample("a", dist.Exponential(1.0)), numpyro.sample("b", dist.Exponential(1.0))
        with numpyro.plate("rows", len(x)), numpyro.handlers.scale(scale=weight):
            numpyro.sample("x", dist.Gamma(a, b), obs=x)

    x = LAWS["gamma"][1]
    few, many = (sx.compress(model, x, weight).compacts["x"].arrays for weight in (1.0, 1e9))
    assert "peak" in few
    assert "peak" not in many
    e = few["evidence"]
    size = float(np.sum(e.count * peak_of(e, at_maximum(e)[1])[1]))
    assert size * np.finfo(np.float64).eps < DIGITS < 1e9 * size * np.finfo(np.float64).eps
