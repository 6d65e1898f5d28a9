"""The incomplete gamma functions, their slopes and their inverse, against series and continued fractions in 60 digits."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.numerics.oracle import DTYPES, INF, NAN, log_grid

from surprax.numerics.incomplete_gamma import gamma_quantile_from_log, log_gammainc, log_gammaincc


def log_tails(a: Any, x: Any) -> tuple[Any, Any]:
    """(log P, log Q) by the power series left of a + 1, by Legendre's continued fraction (Lentz) right of it."""
    precision = mp.mpf(10) ** (5 - mp.mp.dps)
    log_front = a * mp.log(x) - x - mp.loggamma(a)
    if x < a + 1:
        total = term = 1 / a
        k = 1
        while term > total * precision:
            term *= x / (a + k)
            total += term
            k += 1
    else:
        b = x + 1 - a
        c, d = mp.mpf(10) ** 3000, 1 / b
        total, factor, k = d, mp.mpf(0), 1
        while abs(factor - 1) > precision:
            b += 2
            d = 1 / (b - k * (k - a) * d)
            c = b - k * (k - a) / c
            factor = c * d
            total *= factor
            k += 1
    small = log_front + mp.log(total)
    other = mp.log1p(-mp.exp(small)) if small > -200 else -mp.exp(small)
    return (small, other) if x < a + 1 else (other, small)


@functools.cache
def truth(a: float, x: float) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    """For P and for Q: the log, its slope in a (a central difference, good to 20 digits) and its slope in x."""
    with mp.workdps(60):
        a, x = mp.mpf(a), mp.mpf(x)
        values = log_tails(a, x)
        step = mp.mpf(10) ** -14 * min(a, mp.sqrt(a))
        above, below = log_tails(a + step, x), log_tails(a - step, x)
        log_density = (a - 1) * mp.log(x) - x - mp.loggamma(a)
        return tuple(
            (value, (up - down) / (2 * step), sign * mp.exp(log_density - value))
            for value, up, down, sign in zip(values, above, below, (1, -1), strict=True)
        )


def test_the_oracle_agrees_with_mpmath() -> None:
    with mp.workdps(60):
        for a, x in ((0.3, 0.01), (0.3, 4.0), (7.5, 2.0), (7.5, 30.0)):
            log_p, log_q = log_tails(mp.mpf(a), mp.mpf(x))
            assert abs(log_p - mp.log(mp.gammainc(a, 0, x, regularized=True))) < 1e-25
            assert abs(log_q - mp.log(mp.gammainc(a, x, mp.inf, regularized=True))) < 1e-25


def grid(count: int, largest: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Shapes of every size, with x around the centre, next to it, far from it, and anywhere; exact in float32."""
    rng = np.random.default_rng(seed)
    a = log_grid(-3, np.log10(largest), count, seed)
    z = rng.normal(size=count)
    x = np.choose(
        rng.integers(0, 4, count),
        [a * np.exp(3 * z / np.sqrt(a + 0.1)), a * (1 + 1e-3 * z), a * np.exp(z), log_grid(-8, 8, count, seed + 1)],
    )
    return a.astype(np.float32), x.astype(np.float32)


A, X = (np.concatenate(parts) for parts in zip(grid(110, 1e4, 0), grid(10, 1e7, 2), strict=True))


GRADIENT = {function: jax.jit(jax.vmap(jax.grad(function, (0, 1)))) for function in (log_gammainc, log_gammaincc)}


def gradient(function: Any, a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Slopes in a and x at a few points, repeated to the size of the grid: compiling is what takes the time."""
    return np.stack(GRADIENT[function](np.resize(a, A.size), np.resize(x, A.size)))[:, : a.size]


@functools.cache
def on_the_grid(function: Any, dtype: type) -> list[np.ndarray]:
    """The values and the slopes in a and x."""
    with jax.enable_x64(dtype is np.float64):
        a, x = A.astype(dtype), X.astype(dtype)
        return [np.asarray(function(a, x)), *(np.asarray(slope) for slope in GRADIENT[function](a, x))]


# Both tails are of one program, which is tried in float64 for the lower one, and in thorough runs for the upper one.
@pytest.mark.parametrize(
    ("lower", "dtype"),
    [
        (True, np.float32),
        (True, np.float64),
        (False, np.float32),
        pytest.param(False, np.float64, marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("part", ["value", "slope in a", "slope in x"])
def test_values_and_slopes_agree_with_the_oracle(part: str, lower: bool, dtype: type) -> None:
    """In units of one ulp of the result, of the arguments, and of the log of the smaller tail, from which the other comes."""
    function = log_gammainc if lower else log_gammaincc
    index = ("value", "slope in a", "slope in x").index(part)
    got = on_the_grid(function, dtype)[index]
    assert got.dtype == dtype
    limits = np.finfo(dtype)
    worst: tuple[float, Any] = (0.0, None)
    for a, x, result in zip(A.astype(dtype), X.astype(dtype), got, strict=True):
        sides = truth(float(a), float(x))
        (value, in_a, in_x), (other, *_) = sides if lower else sides[::-1]
        expected = (value, in_a, in_x)[index]
        if abs(expected) < limits.tiny / limits.eps or min(value, other) < mp.log(float(limits.tiny)) <= other:
            continue
        ulp_a, ulp_x = float(np.spacing(a)), float(np.spacing(x))
        if index == 0:
            conditioning = abs(in_a) * ulp_a + abs(in_x) * ulp_x
        else:
            # How the logarithm of the slope in x moves with x; that of the slope in a is much the same.
            conditioning = abs(expected) * (abs(float(a) - float(x)) / float(x) + abs(in_x)) * ulp_x
        inherited = abs(expected * min(value, other)) * limits.eps if value > other else 0
        unit = abs(expected) * limits.eps + conditioning + inherited
        error = abs(mp.mpf(float(result)) - expected) / unit if np.isfinite(result) else INF
        if error > worst[0]:
            worst = float(error), (float(a), float(x), result, float(expected))
    assert worst[0] <= 4.0, worst


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.thorough)])
def test_far_tails_neither_underflow_nor_lose_digits(dtype: type) -> None:
    with jax.enable_x64(dtype is np.float64):
        rtol = 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(log_gammaincc(dtype(1.0), dtype(1e7)), -1e7, rtol=rtol)
        np.testing.assert_allclose(
            log_gammainc(dtype(1e6), dtype(1.0)), float(log_tails(mp.mpf(10) ** 6, mp.mpf(1))[0]), rtol=rtol
        )
        _, minus_hazard = gradient(log_gammaincc, np.array([3.0], dtype), np.array([1e8], dtype))
        np.testing.assert_allclose(minus_hazard, -1.0, rtol=1e-6)
        assert np.isfinite(log_gammaincc(dtype(2.0), dtype(1e30)))


@given(st.floats(0.01, 1e4), st.floats(-4, 4))
def test_the_tails_add_up_to_one(a: float, z: float) -> None:
    x = a * np.exp(z / np.sqrt(a))
    np.testing.assert_allclose(jnp.exp(log_gammainc(a, x)) + jnp.exp(log_gammaincc(a, x)), 1.0, rtol=1e-6)


@given(st.floats(0.01, 50.0), st.floats(0.01, 50.0))
def test_recurrence_in_the_shape(a: float, x: float) -> None:
    """Q(a + 1, x) = Q(a, x) + xᵃe⁻ˣ/Γ(a + 1)."""
    with jax.enable_x64(True):
        step = float(mp.exp(a * mp.log(x) - x - mp.loggamma(a + 1)))
        np.testing.assert_allclose(np.exp(log_gammaincc(a + 1, x)), np.exp(log_gammaincc(a, x)) + step, rtol=1e-12)


def test_whole_shapes_are_poisson_sums() -> None:
    terms = np.cumsum(3.0 ** np.arange(8) * np.exp(-3.0) / np.cumprod(np.maximum(np.arange(8), 1)))
    np.testing.assert_allclose(np.exp(log_gammaincc(np.arange(8) + 1.0, 3.0)), terms, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "log_p", "log_q"),
    [
        ((2.0, 0.0), -INF, 0.0),
        ((0.001, 0.0), -INF, 0.0),
        ((2.0, INF), 0.0, -INF),
        ((0.0, 1.0), NAN, NAN),
        ((-1.0, 1.0), NAN, NAN),
        ((INF, 1.0), NAN, NAN),
        ((2.0, -1.0), NAN, NAN),
        ((NAN, 1.0), NAN, NAN),
        ((2.0, NAN), NAN, NAN),
    ],
)
def test_limits_are_taken_and_the_rest_is_nan(arguments: tuple[float, float], log_p: float, log_q: float) -> None:
    np.testing.assert_array_equal(log_gammainc(*arguments), log_p)
    np.testing.assert_array_equal(log_gammaincc(*arguments), log_q)


def test_slopes_at_zero_are_not_nan() -> None:
    in_a, in_x = gradient(log_gammaincc, np.float32([0.5, 1.0, 2.0]), np.zeros(3, np.float32))
    np.testing.assert_array_equal(in_a, [0, 0, 0])
    np.testing.assert_array_equal(in_x, [0, -1, 0])


def test_second_slopes_are_those_of_the_slopes() -> None:
    with jax.enable_x64(True):
        a, x = np.array([0.4, 3.0, 3.0, 500.0, 70.0]), np.array([0.2, 2.0, 5.0, 480.0, 90.0])
        hessian = np.array(jax.jit(jax.vmap(jax.hessian(log_gammaincc, (0, 1))))(a, x))
        for i, da, dx in ((0, 1e-5 * a, 0 * x), (1, 0 * a, 1e-5 * x)):
            moved = gradient(log_gammaincc, a + da, x + dx) - gradient(log_gammaincc, a - da, x - dx)
            np.testing.assert_allclose(hessian[:, i], moved / (2 * (da + dx)), rtol=2e-5)


# The inverse ----------------------------------------------------------------------------------------------------------

LOG_TAIL = -np.concatenate([log_grid(-0.15, 0.5, 40, 3), log_grid(0, 5, 40, 4)])
SHAPES = np.concatenate([log_grid(-2.5, 4, 60, 5), log_grid(-1, 1, 20, 6)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lower", [True, False])
def test_the_quantile_solves_its_equation(lower: bool, dtype: type) -> None:
    """x is right to a few ulp, and to what one ulp in a or in the smaller log-probability changes."""
    with jax.enable_x64(dtype is np.float64):
        a, log_tail = SHAPES.astype(dtype), LOG_TAIL.astype(dtype)
        log_other = np.log1p(-np.exp(log_tail))
        x = np.asarray(gamma_quantile_from_log(a, *((log_tail, log_other) if lower else (log_other, log_tail))))
    assert x.dtype == dtype
    limits = np.finfo(dtype)
    for shape, target, point in zip(a, log_tail, x, strict=True):
        if point < limits.tiny:
            continue
        value, in_a, in_x = truth(float(shape), float(point))[0 if lower else 1]
        slope = abs(in_x * mp.mpf(float(point)))
        unit = limits.eps + (float(np.spacing(-target)) + abs(in_a) * float(np.spacing(shape))) / slope
        assert abs(value - mp.mpf(float(target))) / slope <= 3 * unit, (shape, target, point)


def test_the_quantile_of_very_small_probabilities_follows_the_power() -> None:
    """log x = (log p + lnΓ(a + 1))/a."""
    x = gamma_quantile_from_log(200.0, -1e4, 0.0)
    np.testing.assert_allclose(np.log(x), (-1e4 + float(mp.loggamma(201))) / 200, rtol=1e-6)
    assert gamma_quantile_from_log(0.001, -1.0, np.log1p(-np.exp(-1.0))) == 0.0  # e⁻¹⁰⁰⁰


@pytest.mark.parametrize("a", [0.3, 4.0, 300.0])
def test_the_quantile_of_extreme_survival_is_finite(a: float) -> None:
    x = gamma_quantile_from_log(a, 0.0, -1e5)
    np.testing.assert_allclose(log_gammaincc(a, x), -1e5, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ((2.0, -INF, 0.0), 0.0),
        ((2.0, 0.0, -INF), INF),
        ((0.0, -1.0, -0.5), NAN),
        ((2.0, 0.5, -1.0), NAN),
        ((2.0, NAN, -1.0), NAN),
        ((NAN, -1.0, -0.5), NAN),
    ],
)
def test_limits_of_the_quantile(arguments: tuple[float, ...], value: float) -> None:
    np.testing.assert_array_equal(gamma_quantile_from_log(*arguments), value)


def test_slopes_of_the_quantile_are_those_of_the_equation() -> None:
    def quantile(a: Any, p: Any) -> jax.Array:
        return gamma_quantile_from_log(a, jnp.log(p), jnp.log1p(-p))

    with jax.enable_x64(True):
        a, p = np.array([0.2, 0.2, 3.0, 3.0, 3.0, 1e3]), np.array([0.1, 0.9, 1e-6, 0.3, 0.7, 0.999])
        by_a, by_p = jax.jit(jax.vmap(jax.grad(quantile, (0, 1))))(a, p)
        da, dp = 1e-5 * a, 1e-5 * np.minimum(p, 1 - p)
        np.testing.assert_allclose(by_a, (quantile(a + da, p) - quantile(a - da, p)) / (2 * da), rtol=1e-7)
        np.testing.assert_allclose(by_p, (quantile(a, p + dp) - quantile(a, p - dp)) / (2 * dp), rtol=1e-7)


def test_everything_compiles_in_batches_and_keeps_its_dtype() -> None:
    a, x = jnp.linspace(0.1, 30.0, 6).reshape(2, 3), jnp.linspace(0.2, 25.0, 6).reshape(2, 3)
    for function in (log_gammainc, log_gammaincc):
        assert function(a, x).dtype == jnp.float32
        np.testing.assert_allclose(jax.vmap(jax.vmap(function))(a, x), function(a, x), rtol=1e-5)
        np.testing.assert_allclose(function(a, 3.0), function(a, jnp.full_like(a, 3.0)), rtol=1e-6)
    assert function(2, 3).dtype == jnp.float32
    quantile = gamma_quantile_from_log(a, log_gammainc(a, x), log_gammaincc(a, x))
    assert quantile.dtype == jnp.float32
    np.testing.assert_allclose(quantile, x, rtol=1e-5)
