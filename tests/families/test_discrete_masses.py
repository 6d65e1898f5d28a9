"""Masses of families of whole numbers against 50 digits: values, slopes and tails, in units of what inputs can explain.

A unit is ε·(|f| + Σ|θ ∂f/∂θ|): one rounding of the result and of each parameter.
"""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from tests.families.precisions import each_dtype

from surprax.families.bernoulli import Bernoulli
from surprax.families.binomial import Binomial
from surprax.families.geometric import Geometric
from surprax.families.negative_binomial import NegativeBinomial
from surprax.families.poisson import Poisson

LOGITS = (-60.0, -12.0, -3.0, -0.3, 0.0, 0.01, 2.0, 30.0)


@pytest.fixture(autouse=True)
def _fifty_digits():
    with mp.workdps(50):
        yield


@pytest.fixture(autouse=True)
def _precision(request):
    dtype = request.node.callspec.params.get("dtype") if hasattr(request.node, "callspec") else None
    with jax.enable_x64(dtype is np.float64):
        yield


def softplus(x):
    return mp.log1p(mp.exp(x))


def poisson(k, rate):
    return k * mp.log(rate) - rate - mp.loggamma(k + 1), [k / rate - 1]


def binomial(k, n, logits):
    coefficient = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)
    in_count = mp.digamma(n + 1) - mp.digamma(n - k + 1) - softplus(logits)
    value = coefficient - k * softplus(-logits) - (n - k) * softplus(logits)
    return value, [in_count, k - n / (1 + mp.exp(-logits))]


def negative_binomial(k, mean, r):
    value = mp.loggamma(k + r) - mp.loggamma(r) - mp.loggamma(k + 1) - r * mp.log1p(mean / r) - k * mp.log1p(r / mean)
    in_r = mp.digamma(k + r) - mp.digamma(r) - mp.log1p(mean / r) - (k - mean) / (r + mean)
    return value, [(k / mean - 1) / (1 + mean / r), in_r]


def geometric(k, logits):
    p = 1 / (1 + mp.exp(-logits))
    return -softplus(-logits) - k * softplus(logits), [1 - p - k * p]


def around(mean, sd, most=np.inf):
    """Whole numbers near 0, near the mean and far out."""
    points = [0, 1, 2, 10, mean * 3, mean * 100, *(mean + z * sd for z in (-20, -3, -0.5, 0, 1, 6, 25))]
    return {float(np.floor(v)) for v in points if 0 <= v <= most}


GRIDS = {
    "Poisson": (Poisson, poisson, [(r,) for r in (1e-30, 1e-3, 0.1, 1.0, 3.3, 37.0, 1e3, 1e6, 1e9)]),
    "Binomial": (Binomial, binomial, [(n, s) for n in (1.0, 3.0, 50.0, 1e4, 1e6) for s in LOGITS]),
    "Geometric": (Geometric, geometric, [(s,) for s in LOGITS]),
    "NegativeBinomial": (
        NegativeBinomial,
        negative_binomial,
        [(m, r) for m in (1e-12, 1e-3, 1.0, 50.0, 1e6) for r in (1e-3, 0.5, 1.0, 30.0, 1e3, 1e8)],
    ),
}


def grid(name, dtype):
    """A batch of distributions, their points, and the numbers that both hold, as parameters and points of the oracle."""
    cls, oracle, settings = GRIDS[name]
    rows = []
    with jax.enable_x64(True):
        for theta in settings:
            d = cls._of(**dict(zip(cls.parameters, np.asarray(theta))))
            most = theta[0] if name == "Binomial" else np.inf
            points = around(float(d.mean), float(d.stddev), most)
            rows += [(*theta, x) for x in sorted(points | ({most} if most < np.inf else set()))]
    *leaves, x = np.asarray(rows, dtype).T
    exact = [[mp.mpf(float(v)) for v in row] for row in zip(*leaves, x)]
    return cls, oracle, dict(zip(cls.parameters, leaves)), x, exact


@each_dtype
@pytest.mark.parametrize("name", GRIDS)
def test_log_mass_is_right_to_rounding(name, dtype):
    cls, oracle, leaves, x, exact = grid(name, dtype)
    values = np.asarray(cls._of(**leaves).log_prob(x))
    assert values.dtype == dtype
    for value, row in zip(values, exact):
        truth, slopes = oracle(row[-1], *row[:-1])
        unit = np.finfo(dtype).eps * (abs(truth) + sum(abs(t * s) for t, s in zip(row, slopes)))
        assert abs(mp.mpf(float(value)) - truth) <= 2 * unit, (name, row, value)


@each_dtype
@pytest.mark.parametrize("name", ["Poisson", "Binomial", "NegativeBinomial"])
def test_slopes_of_the_log_mass_are_right_to_rounding(name, dtype):
    cls, oracle, leaves, x, exact = grid(name, dtype)
    slopes = jax.vmap(jax.grad(lambda leaves, x: cls._of(**leaves).log_prob(x)))(leaves, x)
    small = mp.mpf(10) ** -12
    for i, row in enumerate(exact):
        truth = oracle(row[-1], *row[:-1])[1]
        for j, parameter in enumerate(cls.parameters):
            moved = [
                oracle(row[-1], *(v * (1 + small * (m == n)) for n, v in enumerate(row[:-1])))[1][j]
                for m in range(len(truth))
            ]
            unit = np.finfo(dtype).eps * (abs(truth[j]) + sum(abs(m - truth[j]) for m in moved) / small)
            error = abs(mp.mpf(float(slopes[parameter][i])) - truth[j])
            assert error <= 3 * unit + np.finfo(dtype).tiny, (name, parameter, row)


@each_dtype
def test_slope_in_the_count_is_that_of_the_gamma_function(dtype):
    """Between whole numbers the log-mass continues by Γ, and at 0 too its slope is finite."""
    for d in (Poisson(3.0), Binomial(7, 0.4), NegativeBinomial(3.0, 2.0), Geometric(0.2), Bernoulli(0.3)):
        at = jax.grad(lambda x, d=d: d._log_density(x))
        h = 1e-6
        for x in (0.0, 1.0):
            slope = float(at(dtype(x)))
            if dtype is np.float64 and not isinstance(d, Bernoulli):
                inner = dtype(x + h)
                assert slope == pytest.approx(
                    float(d._log_density(inner + h) - d._log_density(inner - h)) / (2 * h), rel=1e-3
                )
            assert np.isfinite(slope)


# The ends of the parameters.


@each_dtype
@pytest.mark.parametrize(
    "make",
    [
        lambda: Poisson(0.0),
        lambda: Binomial(0, 0.3),
        lambda: Binomial(4, 0.0),
        lambda: Geometric(1.0),
        lambda: NegativeBinomial(0.0, 2.0),
        lambda: Bernoulli(0.0),
    ],
)
def test_certain_zero(make, dtype):
    d = make()
    x = jnp.arange(0.0, 2.0) if isinstance(d, Bernoulli) else jnp.arange(0.0, 4.0)
    mass = np.zeros(len(x))
    mass[0] = 1.0
    np.testing.assert_array_equal(np.exp(d.log_prob(x)), mass)
    np.testing.assert_array_equal(d.cdf(x), np.ones(len(x)))
    np.testing.assert_array_equal(d.sf(x), np.zeros(len(x)))
    assert d.entropy() == d.mean == d.variance == d.mode == d.icdf(0.7) == d.kl(d) == 0
    assert not np.any(np.asarray(d.sample(jax.random.key(0), (9,))))


@each_dtype
def test_certain_success(dtype):
    for d, top in ((Bernoulli(1.0), 1), (Binomial(5, 1.0), 5)):
        assert float(d.log_prob(top)) == 0.0
        assert float(d.log_prob(top - 1)) == -np.inf
        assert float(d.icdf(0.2)) == d.mean == d.mode == top
        assert d.entropy() == d.variance == d.kl(d) == 0
        assert np.all(np.asarray(d.sample(jax.random.key(0), (9,))) == top)


@each_dtype
def test_slopes_at_the_ends_of_the_parameters(dtype):
    assert jax.grad(lambda r: Poisson(r).log_prob(0.0))(dtype(0.0)) == -1.0
    assert jax.grad(lambda m: NegativeBinomial(m, 2.0).log_prob(0.0))(dtype(0.0)) == -1.0
    for logits, x in ((-np.inf, 0.0), (np.inf, 1.0)):
        for make in (lambda s: Binomial(1, logits=s), lambda s: Bernoulli(logits=s)):
            assert jax.grad(lambda s, x=x, make=make: make(s).log_prob(x))(dtype(logits)) == 0.0


@each_dtype
def test_negative_binomial_tends_to_poisson(dtype):
    k = np.arange(12.0, dtype=dtype)
    for mean in (dtype(1e-3), dtype(3.0), dtype(50.0)):
        limit = Poisson(mean)
        for r, rtol in ((1e9, 1e-6), (1e30, 1e-6), (np.inf, 1e-6)):
            d = NegativeBinomial(mean, dtype(r))
            np.testing.assert_allclose(d.log_prob(k), limit.log_prob(k), rtol=rtol)
            np.testing.assert_allclose(d.log_cdf(k), limit.log_cdf(k), rtol=10 * rtol)
            np.testing.assert_allclose(d.entropy(), limit.entropy(), rtol=rtol)
    apart = NegativeBinomial(3.0, np.inf).kl(NegativeBinomial(4.0, np.inf))
    np.testing.assert_allclose(apart, Poisson(3.0).kl(Poisson(4.0)), rtol=1e-5)


# Tails.


@each_dtype
def test_tails_are_right_to_rounding(dtype):
    """Against sums of the masses (Poisson, Binomial) and the incomplete beta function (negative binomial)."""

    def above(oracle, k, theta, most=mp.inf):
        total, j = mp.mpf(0), k + 1
        while j <= most:
            term = mp.exp(oracle(j, *theta)[0])
            total, j = total + term, j + 1
            if term < total * mp.mpf(10) ** -25:
                break
        return mp.log(total)

    for rate in (1e-8, 0.1, 3.0, 50.0):
        for k in (0.0, 3.0, 60.0, 400.0):
            theta = [mp.mpf(float(dtype(rate)))]
            truth = above(poisson, mp.mpf(k), theta)
            unit = np.finfo(dtype).eps * (abs(truth) + k + 1)
            assert abs(float(Poisson(dtype(rate)).log_sf(dtype(k))) - truth) <= 4 * unit
    for n, logits in ((5.0, -12.0), (50.0, -3.0), (1000.0, -0.5), (1000.0, 2.0)):
        for k in (0.0, n // 2, n - 1):
            theta = [mp.mpf(n), mp.mpf(float(dtype(logits)))]
            truth = above(binomial, mp.mpf(k), theta, n)
            unit = np.finfo(dtype).eps * (abs(truth) + (k + 1) * abs(logits))
            assert abs(float(Binomial(dtype(n), logits=dtype(logits)).log_sf(dtype(k))) - truth) <= 4 * unit
    for mean, r in ((1e-3, 1e-3), (5.0, 0.1), (300.0, 1.0), (300.0, 1e3)):
        m, s = (mp.mpf(float(dtype(v))) for v in (mean, r))
        for k in (0.0, 2.0, 200.0, 3000.0):
            d = NegativeBinomial(dtype(mean), dtype(r))
            lower = mp.log(mp.betainc(s, k + 1, 0, s / (s + m), regularized=True))
            upper = mp.log(mp.betainc(k + 1, s, 0, m / (s + m), regularized=True))
            eps = np.finfo(dtype).eps
            assert abs(float(d.log_cdf(dtype(k))) - lower) <= 4 * eps * (abs(lower) + r)
            assert abs(float(d.log_sf(dtype(k))) - upper) <= 4 * eps * (abs(upper) + min(k, r) + 1)
