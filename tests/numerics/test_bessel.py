"""Modified Bessel functions against mpmath: values, slopes, limits, inverses and identities between them."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from tests.numerics.oracle import DTYPES, INF, Case, check, excess, log_grid

from surprax.numerics import bessel, bessel_k


def log_scaled(v, x):
    return mp.log(mp.besseli(v, x)) + mp.loggamma(v + 1) + v * mp.log(2 / x) - x


def ratio(v, x):
    return mp.besseli(v + 1, x) / mp.besseli(v, x)


def complement(v, x):
    return 1 - ratio(v, x)


def ratio_slope(v, x):
    return 1 - ratio(v, x) ** 2 - (2 * v + 1) / x * ratio(v, x)


def divergence(v, x, q):
    return log_scaled(v, q) - log_scaled(v, x) + complement(v, x) * (q - x)


def log_k(v, x):
    return mp.log(mp.besselk(v, x))


def log_k_slope(v, x):
    return -(mp.besselk(v - 1, x) + mp.besselk(v + 1, x)) / (2 * mp.besselk(v, x))


def in_order(function):
    """The derivative in the first argument, by a difference that 75 digits can afford."""
    h = mp.mpf(10) ** -20
    return lambda v, x: (function(v + h, x) - function(v - h, x)) / (2 * h)


def exact(x):
    """Numbers that float32 has too, so that both precisions are asked the same."""
    return np.asarray(x, np.float32).astype(float)


ORDER = exact(np.concatenate([log_grid(-2, 3, 20), np.tile([0.0, 0.5, 1.0, 4.0], 5)]))
X = exact(np.concatenate([log_grid(-10, 4, 20, 5), log_grid(1, 8, 8, 7), log_grid(-3, 3, 12, 8)]))
once = pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.thorough)])
"""What is asked of our functions alone, which are held against mpmath in both precisions."""
SOME, SIGNED = slice(8, 28), exact(np.append(log_grid(-6, 2.5, 14), [0.5, *-log_grid(-2, 1, 5, 3)]))

# The order is a constant of the dimension: derivatives in it are not asked for.
FIRST_KIND = (
    (bessel.log_scaled_bessel_i, log_scaled, lambda v, x: -complement(v, x)),
    (bessel.bessel_ratio, ratio, ratio_slope),
    (bessel.bessel_ratio_complement, complement, lambda v, x: -ratio_slope(v, x)),
)


def check_in_x(function, oracles, dtype, *arguments):
    with jax.enable_x64(dtype is np.float64), mp.workdps(60):
        arguments = [a.astype(dtype) for a in arguments]
        last = len(arguments) - 1
        for f, oracle in zip((function, jax.jit(jax.vmap(jax.grad(function, last)))), oracles, strict=True):
            worst, where = excess(np.asarray(f(*arguments)), oracle, arguments)
            assert worst <= 4.0, (worst, where)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", FIRST_KIND, ids=lambda c: c[0].__name__)
def test_first_kind_agrees_with_mpmath(case, dtype):
    check_in_x(case[0], case[1:], dtype, ORDER, X)


@pytest.mark.parametrize("dtype", DTYPES)
def test_slope_of_the_ratio_and_its_own_slope_agree_with_mpmath(dtype):
    def second(v, x):
        return -2 * ratio(v, x) * ratio_slope(v, x) - (2 * v + 1) * (ratio_slope(v, x) / x - ratio(v, x) / x**2)

    with jax.enable_x64(dtype is np.float64), mp.workdps(60):
        v, x = (a[SOME].astype(dtype) for a in (ORDER, X))
        worst, where = excess(np.asarray(jax.jit(bessel.bessel_ratio_slope)(v, x)), ratio_slope, (v, x))
        assert worst <= 4.0, (worst, where)
        x = np.clip(x, dtype(0.5), None)  # below, it vanishes: it is odd
        slope = jax.jit(jax.vmap(jax.grad(bessel.bessel_ratio_slope, 1)))(v, x)
        np.testing.assert_allclose(
            np.asarray(slope),
            [float(second(mp.mpf(float(a)), mp.mpf(float(b)))) for a, b in zip(v, x)],
            200 * np.finfo(dtype).eps,
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distance", [1e-5, 0.1, 10.0], ids=str)
def test_divergence_agrees_with_mpmath_however_small(dtype, distance):
    step = np.where(np.arange(20) % 2 == 0, distance, -distance)
    q = exact(X[SOME] * np.exp(step))
    slope = lambda v, x, q: ratio(v, q) - ratio(v, x)
    with mp.workdps(60):
        check_in_x(bessel.log_bessel_divergence, (divergence, slope), dtype, ORDER[SOME], X[SOME], q)


@once
def test_inverse_of_the_ratio(dtype):
    with jax.enable_x64(dtype is np.float64):
        v, x = (jnp.asarray(a, dtype) for a in (ORDER, X))
        a, c = bessel.bessel_ratio(v, x), bessel.bessel_ratio_complement(v, x)
        np.testing.assert_allclose(bessel.inverse_bessel_ratio(v, a, c), x, 12 * np.finfo(dtype).eps)
        in_a, in_c = jax.jit(jax.vmap(jax.grad(bessel.inverse_bessel_ratio, (1, 2))))(v, a, c)
        slope = jnp.where(a < c, in_a, -in_c)
        np.testing.assert_allclose(slope * bessel.bessel_ratio_slope(v, x), np.ones(len(x)), 50 * np.finfo(dtype).eps)
        assert bessel.inverse_bessel_ratio(1.0, 0.0, 1.0) == 0.0
        assert bessel.inverse_bessel_ratio(1.0, 1.0, 0.0) == INF
        assert np.isnan(bessel.inverse_bessel_ratio(1.0, 1.5, -0.5))


@pytest.mark.parametrize("dtype", DTYPES)
def test_second_kind_agrees_with_mpmath(dtype):
    x = exact(np.concatenate([log_grid(-3, 3, 12, 5), log_grid(-30, 2, 8, 6)]))
    check(Case(bessel_k.log_bessel_k, log_k, (in_order(log_k), log_k_slope), (SIGNED, x)), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_limits(dtype):
    with jax.enable_x64(dtype is np.float64):
        zero, huge = dtype(0), dtype(np.inf)
        assert bessel.log_scaled_bessel_i(dtype(2), zero) == 0
        assert bessel.log_scaled_bessel_i(dtype(2), huge) == -INF
        assert bessel.bessel_ratio(dtype(2), zero) == 0
        assert np.isnan(bessel.bessel_ratio(dtype(2), dtype(-1)))
        assert bessel_k.log_bessel_k(dtype(2), zero) == INF
        assert bessel_k.log_bessel_k(dtype(2), huge) == -INF
        assert np.isnan(bessel_k.log_bessel_k(dtype(2), dtype(-1)))


def test_orders_of_high_dimension():
    """d = 20,002: the recurrence I_{v−1} = I_{v+1} + (2v/x) I_v holds, and Wronski's relation with the second kind."""
    with jax.enable_x64(True):
        v, x = np.float64(1e4), 10.0 ** np.array([-3.0, 1.0, 4.0, 8.0])
        a, below = bessel.bessel_ratio(v, x), bessel.bessel_ratio(v - 1, x)
        np.testing.assert_allclose(1 / below, a + 2 * v / x, 1e-14)
        log_i = [
            bessel.log_scaled_bessel_i(o, x) + x + o * jnp.log(x / 2) - jax.scipy.special.gammaln(o + 1)
            for o in (v, v + 1)
        ]
        log_k = [bessel_k.log_bessel_k(o, x) for o in (v, v + 1)]
        size = np.abs(np.asarray(log_k)).max(axis=0) + x
        wronskian = jnp.logaddexp(log_i[0] + log_k[1], log_i[1] + log_k[0]) + jnp.log(x)
        assert np.all(np.abs(wronskian) <= 1e-15 * (size + 1e5))


@once
def test_tails_of_the_saddle_integral_add_up(dtype):
    with jax.enable_x64(dtype is np.float64):
        upper, lower = (jnp.asarray(10.0 ** np.random.default_rng(i).uniform(-6, 5, 30), dtype) for i in (0, 1))
        tail = jax.jit(bessel_k.log_saddle_tail)
        tails = tail(upper, lower, 0.0), tail(lower, upper, 0.0)
        whole = jax.jit(bessel_k.log_saddle_integral)(upper, lower)
        assert np.all(np.abs(jnp.logaddexp(*tails) - whole) <= 8 * np.finfo(dtype).eps * (1 + np.abs(whole)))
