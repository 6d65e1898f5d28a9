"""Rayleigh, Maxwell, Chi, ChiSquared, Pareto, Lomax, LogitNormal, GeneralizedBetaPrime, LogStudentT at every size of parameters.

The measure is that of `test_positive`: errors in units of what rounding the result and the inputs explains.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from tests.families.precisions import each_dtype, each_precision
from tests.families.test_positive import excess, log_beta, make, slope

from surprax.families.chi import Chi
from surprax.families.chi_squared import ChiSquared
from surprax.families.exponential_law import Exponential
from surprax.families.generalized_beta_prime import GeneralizedBetaPrime
from surprax.families.log_student_t import LogStudentT
from surprax.families.logit_normal import LogitNormal
from surprax.families.lomax import Lomax
from surprax.families.maxwell import Maxwell
from surprax.families.outcomes import Reason
from surprax.families.pareto import Pareto
from surprax.families.rayleigh import Rayleigh
from surprax.families.student_t import StudentT


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(60):
        yield


# Log-densities, entropies and divergences, as textbooks have them.


def log_student_density(x, n, m, s):
    z = (mp.log(x) - m) / s
    constant = mp.loggamma((n + 1) / 2) - mp.loggamma(n / 2) - mp.log(n * mp.pi) / 2
    return constant - (n + 1) / 2 * mp.log1p(z * z / n) - mp.log(s * x)


DENSITY: dict[type, Callable[..., Any]] = {
    Rayleigh: lambda x, s: mp.log(x / s**2) - x * x / (2 * s * s),
    Maxwell: lambda x, s: mp.log(2 / mp.pi) / 2 + 2 * mp.log(x) - 3 * mp.log(s) - x * x / (2 * s * s),
    Chi: lambda x, k: (k - 1) * mp.log(x) - x * x / 2 - (k / 2 - 1) * mp.log(2) - mp.loggamma(k / 2),
    ChiSquared: lambda x, k: (k / 2 - 1) * mp.log(x) - x / 2 - k / 2 * mp.log(2) - mp.loggamma(k / 2),
    Pareto: lambda x, s, a: mp.log(a) + a * mp.log(s) - (a + 1) * mp.log(x),
    Lomax: lambda x, c, s: mp.log(c / s) - (c + 1) * mp.log1p(x / s),
    LogitNormal: lambda x, m, s: (
        -mp.log(s * x) - mp.log1p(-x) - mp.log(2 * mp.pi) / 2 - (mp.log(x) - mp.log1p(-x) - m) ** 2 / (2 * s * s)
    ),
    GeneralizedBetaPrime: lambda x, a, b, p, s: (
        mp.log(p / x) + a * p * mp.log(x / s) - (a + b) * mp.log1p((x / s) ** p) - log_beta(a, b)
    ),
    LogStudentT: log_student_density,
}

ENTROPY: dict[type, Callable[..., Any]] = {
    Rayleigh: lambda s: 1 + mp.log(s / mp.sqrt(2)) + mp.euler / 2,
    Maxwell: lambda s: mp.log(s * mp.sqrt(2 * mp.pi)) + mp.euler - mp.mpf(1) / 2,
    Chi: lambda k: mp.loggamma(k / 2) + (k - mp.log(2) - (k - 1) * mp.digamma(k / 2)) / 2,
    ChiSquared: lambda k: k / 2 + mp.log(2) + mp.loggamma(k / 2) + (1 - k / 2) * mp.digamma(k / 2),
    Pareto: lambda s, a: mp.log(s / a) + 1 / a + 1,
    Lomax: lambda c, s: mp.log(s / c) + 1 / c + 1,
    GeneralizedBetaPrime: lambda a, b, p, s: (
        log_beta(a, b)
        + (a + b) * mp.digamma(a + b)
        - a * mp.digamma(a)
        - b * mp.digamma(b)
        + mp.log(s / p)
        + (mp.digamma(a) - mp.digamma(b)) / p
    ),
}


def equal_rates(a, b):
    return mp.loggamma(b) - mp.loggamma(a) - mp.digamma(a) * (b - a)


KL: dict[type, Callable[..., Any]] = {
    Rayleigh: lambda s, t: (s / t) ** 2 - 1 - 2 * mp.log(s / t),
    Maxwell: lambda s, t: mp.mpf(3) / 2 * ((s / t) ** 2 - 1) - 3 * mp.log(s / t),
    Chi: lambda k, m: equal_rates(k / 2, m / 2),
    ChiSquared: lambda k, m: equal_rates(k / 2, m / 2),
    Pareto: lambda s, a, t, b: mp.log(a / b) - 1 + b / a + b * mp.log(s / t),
    LogitNormal: lambda m, s, n, t: mp.log(t / s) + (s * s + (m - n) ** 2) / (2 * t * t) - mp.mpf(1) / 2,
}

# Exponents of ten between which positive parameters are drawn; locations are normal with the deviation of the last row.
RANGES: dict[type, list[tuple[float, float]]] = {
    Rayleigh: [(-10, 10)],
    Maxwell: [(-10, 10)],
    Chi: [(-3, 8)],
    ChiSquared: [(-3, 8)],
    Pareto: [(-6, 6), (-3, 6)],
    Lomax: [(-3, 8), (-6, 6)],
    LogitNormal: [(5, 5), (-3, 1)],
    GeneralizedBetaPrime: [(-3, 7), (-3, 7), (-1, 2), (-6, 6)],
    LogStudentT: [(-1, 6), (10, 10), (-3, 1)],
}


def ids(family: type) -> str:
    return family.__name__


def settings(family: type, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [
        low * rng.normal(size=count) if low == high else 10 ** rng.uniform(low, high, count)
        for low, high in RANGES[family]
    ]


def observations(family: type, leaves: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Exactly at the centre, near it, and far away."""
    z = rng.normal(size=len(leaves[0])) * rng.choice([0.0, 1e-3, 1.0, 5.0], len(leaves[0]))
    a = leaves[0]
    if family in (Rayleigh, Maxwell):
        log_x = np.log(a) + z
    elif family in (Chi, ChiSquared):
        log_x = (np.log(a) + z * np.sqrt(2 / a)) / (2 if family is Chi else 1)
    elif family is Pareto:
        log_x = np.log(a) + 1e-6 + np.abs(z) / leaves[1]
    elif family is Lomax:
        log_x = np.log(leaves[1]) + np.log(np.expm1(np.minimum(np.exp(z) / a, 40)))
    elif family is GeneralizedBetaPrime:
        log_x = np.log(leaves[3]) + (np.log(a / leaves[1]) + z * np.sqrt(1 / a + 1 / leaves[1])) / leaves[2]
    else:
        log_x = leaves[-2] + leaves[-1] * z
    log_x = np.clip(log_x, -20 if family in (Chi, ChiSquared) else -60, 20 if family in (Chi, ChiSquared) else 60)
    return np.clip(1 / (1 + np.exp(-log_x)), 1e-25, 1 - 1e-7) if family is LogitNormal else np.exp(log_x)


@each_precision(DENSITY, Pareto)
def test_log_density_and_its_gradients_keep_their_digits(family, dtype):
    rng = np.random.default_rng(1)
    leaves = settings(family, 40, rng)
    x = observations(family, leaves, rng)
    with jax.enable_x64(dtype is np.float64):
        args = [jnp.asarray(v, dtype) for v in (x, *leaves)]
        log_prob = lambda x, *leaves: make(family, leaves).log_prob(x)
        value = np.asarray(jax.jit(log_prob)(*args))
        slopes = jax.jit(jax.vmap(jax.grad(log_prob, tuple(range(len(args))))))(*args)
    f = DENSITY[family]
    for i, row in enumerate(zip(*(np.asarray(a, float) for a in args))):
        exact = [mp.mpf(v) for v in row]
        assert excess(f, value[i], exact, dtype) < 3, row
        for k, partial in enumerate(slopes):
            assert excess(lambda *v, k=k: slope(f, list(v), k), partial[i], exact, dtype) < 3, (k, row)


@each_precision(ENTROPY, Pareto)
def test_entropy_keeps_its_digits(family, dtype):
    leaves = settings(family, 40, np.random.default_rng(2))
    with jax.enable_x64(dtype is np.float64):
        args = [jnp.asarray(v, dtype) for v in leaves]
        value = np.asarray(make(family, args).entropy())
    for i, row in enumerate(zip(*(np.asarray(a, float) for a in args))):
        assert excess(ENTROPY[family], value[i], [mp.mpf(v) for v in row], dtype) < 3, row


@pytest.mark.parametrize("family", ENTROPY, ids=ids)
def test_slope_of_the_entropy_is_the_finite_difference(family):
    leaves = [2.3, 1.7, 1.2, 0.8][: len(family.parameters)]
    with jax.enable_x64(True):
        slopes = jax.grad(lambda d: d.entropy())(make(family, [jnp.asarray(v) for v in leaves]))
    exact = [mp.mpf(v) for v in leaves]
    for k, name in enumerate(family.parameters):
        np.testing.assert_allclose(getattr(slopes, name), float(slope(ENTROPY[family], exact, k)), rtol=1e-12)


@each_precision(KL, Pareto)
def test_kl_keeps_its_digits_near_and_far(family, dtype):
    rng = np.random.default_rng(3)
    p = settings(family, 40, rng)
    distance = 10 ** rng.uniform(-5, 0.5, 40)
    q = [leaf * np.exp(np.clip(distance * rng.normal(size=40), -5, 5)) for leaf in p]
    if family is Pareto:
        q[0] = np.minimum(q[0], p[0])  # else it is infinite
    with jax.enable_x64(dtype is np.float64):
        args = [jnp.asarray(v, dtype) for v in (*p, *q)]
        value = np.asarray(make(family, args[: len(p)]).kl(make(family, args[len(p) :])))
    for i, row in enumerate(zip(*(np.asarray(a, float) for a in args))):
        assert excess(KL[family], value[i], [mp.mpf(v) for v in row], dtype) < 3, row


# Divergence by quadrature.


def beta_prime_kl(a, b, p, s, c, d, q, t):
    """∫ f (r − 1 − log r) over the log-odds, r = g/f."""

    def both(y):
        v = y * q / p + q * mp.log(s / t)
        log_f = a * y - (a + b) * mp.log1p(mp.e**y) - log_beta(a, b)
        return log_f, mp.log(q / p) + c * v - (c + d) * mp.log1p(mp.e**v) - log_beta(c, d)

    def integrand(y):
        log_f, log_g = both(y)
        return mp.e**log_g - mp.e**log_f * (1 + log_g - log_f)

    middle, width = mp.log((a + 1) / (b + 1)), mp.sqrt(1 / a + 1 / b)
    return mp.quad(integrand, [middle + width * k for k in (-60, -30, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 30, 60)])


PAIRS = [
    ((2.0, 3.0, 1.5, 2.0), (2.1, 2.9, 1.6, 2.2)),
    ((2.0, 3.0, 1.5, 2.0), (2.0 + 1e-4, 3.0, 1.5, 2.0 + 1e-4)),
    ((0.3, 2.0, 2.0, 1.0), (0.3, 2.0, 2.002, 1.0)),
    ((1e4, 2e3, 1.0, 3.0), (1.001e4, 2e3, 1.0, 3.0)),
    ((1.0, 1e4, 1.0, 1e4), (1.0, 3e3, 1.0, 4e3)),
    ((5.0, 0.5, 1.0, 1.0), (0.5, 5.0, 1.0, 1.0)),
]


@each_dtype
def test_kl_of_beta_primes_is_right_in_relative_terms(dtype):
    with jax.enable_x64(dtype is np.float64):
        leaves = [np.asarray(column, dtype) for column in zip(*((*p, *q) for p, q in PAIRS))]
        value = np.asarray(make(GeneralizedBetaPrime, leaves[:4]).kl(make(GeneralizedBetaPrime, leaves[4:])), float)
    with mp.workdps(30):
        truth = [float(beta_prime_kl(*(mp.mpf(float(v)) for v in row))) for row in zip(*leaves)]
    np.testing.assert_allclose(value, truth, rtol=200 * np.finfo(dtype).eps + 1e-11)


def test_lomax_kl_at_equal_scales_is_that_of_exponentials():
    """log(1 + X/scale) is exponential."""
    with jax.enable_x64(True):
        c, d = np.array([0.05, 1.0, 3.0, 1e6]), np.array([0.06, 7.0, 3.0001, 1.001e6])
        np.testing.assert_allclose(Lomax(c, 2.0).kl(Lomax(d, 2.0)), Exponential(c).kl(Exponential(d)), rtol=1e-9)


def test_kl_of_paretos_is_infinite_where_q_lacks_support():
    assert Pareto(1.0, 2.0).kl(Pareto(1.1, 2.0)) == np.inf
    assert np.isfinite(Pareto(1.1, 2.0).kl(Pareto(1.0, 2.0)))


# Moments.


def sigmoid(y):
    return 1 / (1 + mp.e**-y)


def expected(f, loc, scale):
    """E f(loc + scale·Z) for a standard normal Z."""
    return mp.quad(lambda z: mp.npdf(z) * f(loc + scale * z), range(-14, 15))


@each_dtype
@pytest.mark.parametrize("moment", ["mean", "variance", "entropy"])
def test_logit_normal_moments_and_entropy_are_integrals(moment, dtype):
    settings = [(0.0, 1e-4), (0.3, 0.5), (-4.0, 1.0), (-12.0, 2.5), (2.0, 6.0), (30.0, 5.0)]
    with jax.enable_x64(dtype is np.float64):
        loc, scale = (np.asarray(v, dtype) for v in zip(*settings))
        d = LogitNormal(loc, scale)
        got = np.asarray(d.entropy() if moment == "entropy" else getattr(d, moment), float)

    def truth(m, s):
        if moment == "entropy":
            return mp.log(s * mp.sqrt(2 * mp.pi * mp.e)) - expected(lambda y: 2 * mp.log(2 * mp.cosh(y / 2)), m, s)
        mean = expected(sigmoid, m, s)
        return mean if moment == "mean" else expected(lambda y: (sigmoid(y) - mean) ** 2, m, s)

    with mp.workdps(25):
        exact = [float(truth(mp.mpf(float(m)), mp.mpf(float(s)))) for m, s in zip(loc, scale)]
    rtol = 30 * np.finfo(dtype).eps
    np.testing.assert_allclose(got, exact, rtol=rtol, atol=rtol if moment == "entropy" else 0)


def test_logit_normal_mode_is_the_higher_peak():
    with jax.enable_x64(True):
        for loc, scale in ((0.2, 3.0), (-0.2, 3.0), (0.0, 1.0), (0.0, 2.0), (5.0, 0.1), (-1e-3, 1.5)):
            d = LogitNormal(loc, scale)
            x = 1 / (1 + np.exp(-np.linspace(-30, 30, 20_001)))
            assert float(d.log_prob(d.mode)) >= np.max(np.asarray(d.log_prob(x))) - 1e-12
            slope = float(jax.grad(d.log_prob)(d.mode)) * float(d.mode * (1 - d.mode))
            assert abs(slope) < 1e-9


@each_dtype
def test_moments_of_chi_and_beta_prime_by_gamma_functions(dtype):
    chi = np.array([1e-3, 0.5, 3.0, 1e3, 1e6, 1e8], dtype)
    prime = [np.asarray(v, dtype) for v in zip((0.2, 3.0, 1.0), (1e6, 4e5, 2.0), (2.5, 7.0, 5.0), (0.01, 0.9, 3.0))]
    with jax.enable_x64(dtype is np.float64):
        c, g = Chi(chi), GeneralizedBetaPrime(*prime)
        got = [np.asarray(v, float) for v in (c.mean, c.variance, g.mean, g.variance)]
    close = lambda a, b: np.testing.assert_allclose(a, float(b), rtol=40 * np.finfo(dtype).eps)
    for i, k in enumerate(mp.mpf(float(v)) for v in chi):
        mean = mp.sqrt(2) * mp.gammaprod([(k + 1) / 2], [k / 2])
        close(got[0][i], mean)
        close(got[1][i], k - mean**2)
    for i, row in enumerate(zip(*prime)):
        a, b, p = (mp.mpf(float(v)) for v in row)
        mean, square = (mp.exp(log_beta(a + k / p, b - k / p) - log_beta(a, b)) for k in (1, 2))
        close(got[2][i], mean)
        close(got[3][i], square - mean**2)


def test_moments_are_infinite_where_they_do_not_exist():
    assert np.asarray(Pareto(2.0, np.array([0.5, 1.5, 2.5])).mean).tolist()[0] == np.inf
    for d in (Lomax(np.array([1.0, 1.5, 2.5])), GeneralizedBetaPrime(1.0, np.array([1.0, 1.5, 2.5]))):
        np.testing.assert_allclose(d.mean, [np.inf, 2.0, 2 / 3], rtol=1e-5)
        np.testing.assert_allclose(d.variance, [np.inf, np.inf, 2.5 / 1.5**2 / 0.5], rtol=1e-5)
    slope = jax.grad(lambda b: jnp.where(b > 2, GeneralizedBetaPrime(1.0, b).variance, 0.0))(1.5)
    assert np.isfinite(slope)


# Tails, ends and limits.


@each_dtype
def test_tails_reach_far_below_what_a_float_can_hold(dtype):
    with jax.enable_x64(dtype is np.float64):
        close = lambda got, truth: np.testing.assert_allclose(float(got), float(truth), rtol=60 * np.finfo(dtype).eps)
        tiny = np.asarray(1e-30, dtype)
        x = mp.mpf(float(tiny))
        close(Chi(0.01).log_cdf(tiny), mp.log(x) * mp.mpf(0.01) - mp.log(2) * 0.005 - mp.loggamma(1.005))
        close(Maxwell(1.0).log_cdf(tiny), 3 * mp.log(x) + mp.log(2 / mp.pi) / 2 - mp.log(3))
        close(Rayleigh(1.0).log_cdf(tiny), 2 * mp.log(x) - mp.log(2))
        close(Lomax(3.0, 1e10).log_cdf(tiny), mp.log(3 * x) - 10 * mp.log(10))
        close(Lomax(5.0).log_sf(np.asarray(1e30, dtype)), -5 * mp.log1p(mp.mpf(float(np.asarray(1e30, dtype)))))
        near = np.asarray(1.0 + np.finfo(dtype).eps, dtype)
        close(Pareto(1.0, 2.0).log_cdf(near), mp.log(-mp.expm1(-2 * mp.log(mp.mpf(float(near))))))
        steep = GeneralizedBetaPrime(0.5, 0.25, 20.0)
        close(steep.log_cdf(tiny), 10 * mp.log(x) - mp.log(0.5) - log_beta(mp.mpf(0.5), mp.mpf(0.25)))
        close(steep.log_sf(1 / tiny), -5 * mp.log(mp.mpf(float(1 / tiny))) - mp.log(0.25) - log_beta(0.5, 0.25))
        np.testing.assert_allclose(steep.log_sf(steep.isf(1e-30)), np.log(1e-30), rtol=60 * np.finfo(dtype).eps)
        np.testing.assert_allclose(steep.log_cdf(steep.icdf(1e-30)), np.log(1e-30), rtol=60 * np.finfo(dtype).eps)


def test_log_student_quantile_beyond_the_range_of_numbers_is_its_end():
    d = LogStudentT(np.float32(0.15), np.float32(20.0), np.float32(0.01))
    assert d.icdf(np.float32(1e-18)) == 0.0
    assert d.isf(np.float32(1e-18)) == np.inf


def test_density_at_zero_is_its_limit():
    for d, value in (
        (Chi(0.5), np.inf),
        (Chi(1.0), 0.5 * np.log(2 / np.pi)),
        (Chi(1.5), -np.inf),
        (ChiSquared(2.0), -np.log(2.0)),
        (Rayleigh(1.0), -np.inf),
        (GeneralizedBetaPrime(0.25, 3.0, 2.0), np.inf),
        (GeneralizedBetaPrime(0.5, 3.0, 2.0, 4.0), np.log(2 / 4) - float(log_beta(mp.mpf(0.5), mp.mpf(3)))),
        (GeneralizedBetaPrime(0.75, 3.0, 2.0), -np.inf),
        (LogStudentT(3.0), np.inf),
    ):
        np.testing.assert_allclose(d.log_prob(0.0), value, rtol=1e-6)
        assert d.log_prob(np.inf) == -np.inf
    np.testing.assert_allclose(jax.grad(GeneralizedBetaPrime(1.0, 3.0, 1.0, 2.0).log_prob)(0.0), -2.0, rtol=1e-6)


def test_lomax_of_large_concentration_is_nearly_exponential():
    d, e = Lomax(np.float32(1e8), np.float32(2e8)), Exponential(np.float32(0.5))
    x = np.array([1e-3, 1.0, 10.0], np.float32)
    for method in ("log_prob", "log_cdf", "log_sf"):
        np.testing.assert_allclose(getattr(d, method)(x), getattr(e, method)(x), rtol=1e-6)
    np.testing.assert_allclose(d.entropy(), e.entropy(), rtol=1e-6)


def test_members_of_the_beta_prime_family():
    """Lomax has concentration1 = 1; F and log-logistic laws are others, and the reciprocal exchanges the concentrations."""
    with jax.enable_x64(True):
        x = np.array([0.1, 1.0, 30.0])
        a, b = Lomax(2.5, 3.0), GeneralizedBetaPrime(1.0, 2.5, 1.0, 3.0)
        for method in ("log_prob", "log_cdf", "log_sf"):
            np.testing.assert_allclose(getattr(a, method)(x), getattr(b, method)(x), rtol=1e-12)
        np.testing.assert_allclose(a.entropy(), b.entropy(), rtol=1e-13)
        up, down = GeneralizedBetaPrime(0.7, 2.0, 1.5, 3.0), GeneralizedBetaPrime(2.0, 0.7, 1.5, 1 / 3.0)
        np.testing.assert_allclose(up.log_cdf(x), down.log_sf(1 / x), rtol=1e-12)


# Maximum likelihood.


@pytest.mark.parametrize(
    "d",
    [
        Rayleigh(3.0),
        Maxwell(0.2),
        Chi(0.7),
        ChiSquared(40.0),
        LogitNormal(-1.0, 2.0),
        Pareto(2.0, 3.0),
        Lomax(2.5, 4.0),
    ],
    ids=repr,
)
def test_no_neighbour_of_the_fit_is_likelier(d):
    with jax.enable_x64(True):
        x = np.asarray(d.sample(jax.random.key(1), (2000,)))
        fit = type(d).fit(x)
        best = float(jnp.sum(fit.log_prob(x)))
        for name in d.parameters:
            value = np.asarray(getattr(fit, name))
            for step in (-1e-3, 1e-3):
                moved = type(d)._of(**{n: value * (1 + step) if n == name else getattr(fit, n) for n in d.parameters})
                assert float(jnp.sum(moved.log_prob(x))) < best


def test_fit_of_log_student_is_that_of_student_to_logarithms():
    x = np.random.default_rng(0).standard_t(3.0, 500)
    one, two = LogStudentT.fit(np.exp(x)), StudentT.fit(x)
    for name in ("df", "loc", "scale"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-6)


def test_fits_without_each_fold_are_fits_to_the_others():
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        rows = jnp.asarray(1.0 + rng.pareto(2.0, (4, 50)))
        for family in (Pareto, Lomax):
            _, _, fits, outcomes = family._fit_with_and_without_each(rows, None)
            assert np.all(outcomes.ok) or family is Lomax
            for k in range(4):
                alone, outcome = family.try_fit(np.delete(np.asarray(rows), k, axis=0).ravel())
                assert outcome.ok == outcomes.ok[k]
                for name in family.parameters:
                    np.testing.assert_allclose(getattr(fits, name)[k], getattr(alone, name), rtol=1e-9)


def test_fit_says_why_there_is_no_maximum():
    assert Lomax.try_fit([1.0, 1.1, 0.9])[1].reason is Reason.NO_HEAVIER_THAN_EXPONENTIAL
    assert Lomax.try_fit([0.0, 0.0])[1].reason is Reason.ALL_ZERO
    assert Pareto.try_fit([2.0, 2.0])[1].reason is Reason.ALL_SAME
    assert Pareto.try_fit([2.0, 2.0], scale=2.0)[1].reason is Reason.ALL_SAME
    assert Rayleigh.try_fit(np.zeros(0))[1].reason is Reason.NO_DATA
    with pytest.raises(ValueError, match="row 1 is 1"):
        Pareto.fit([3.0, 1.0], scale=2.0)
    with pytest.raises(NotImplementedError, match="four parameters"):
        GeneralizedBetaPrime.fit([1.0, 2.0])


def test_known_scale_of_a_pareto_travels_with_the_evidence():
    x = np.array([2.5, 3.0, 10.0])
    evidence = Pareto.evidence(x[:1], scale=2.0) + Pareto.evidence(x[1:], scale=2.0)
    np.testing.assert_allclose(evidence.fit().alpha, 1 / np.mean(np.log(x / 2.0)), rtol=1e-12)
