"""The incomplete beta function, its slopes and its inverse, against a continued fraction in 60 digits."""

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

from surprax.numerics.incomplete_beta import beta_quantile_from_log, log_betainc, log_betaincc


def log_lower(a: Any, b: Any, x: Any, y: Any) -> Any:
    """log I_x(a, b) left of the mean, by the continued fraction DLMF 8.17.22 (Lentz)."""
    c, d = mp.mpf(1), 1 / (1 - (a + b) * x / (a + 1))
    total, factor, m = d, mp.mpf(0), 1
    while abs(factor - 1) > mp.mpf(10) ** (5 - mp.mp.dps):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / (1 + even * d), 1 + even / c
        total *= c * d
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + odd * d), 1 + odd / c
        factor = c * d
        total *= factor
        m += 1
    return a * mp.log(x) + b * mp.log(y) - log_beta(a, b) + mp.log(total / a)


def log_beta(a: Any, b: Any) -> Any:
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def log_tails(a: Any, b: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """(log I_x, log(1 − I_x))."""
    left = x < (a + 1) / (a + b + 2)
    small = log_lower(a, b, x, y) if left else log_lower(b, a, y, x)
    other = mp.log1p(-mp.exp(small)) if small > -200 else -mp.exp(small)
    return (small, other) if left else (other, small)


def truth(a: float, b: float, x: float, y: float) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """For I and for 1 − I: the log and its slopes in a, b and x, at the smaller of x and y."""
    return truth_at_the_smaller(a, b, min(x, y), x < y)


@functools.cache
def truth_at_the_smaller(a: float, b: float, small: float, left: bool) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The same for both precisions, which round the greater one in different ways."""
    with mp.workdps(60):
        a, b, small = (mp.mpf(value) for value in (a, b, small))
        x, y = (small, 1 - small) if left else (1 - small, small)
        values = log_tails(a, b, x, y)
        moved = []
        for i, size in enumerate((a, b)):
            step = mp.mpf(10) ** -14 * min(size, mp.sqrt(size))
            shift = (step, 0) if i == 0 else (0, step)
            above = log_tails(a + shift[0], b + shift[1], x, y)
            below = log_tails(a - shift[0], b - shift[1], x, y)
            moved.append([(up - down) / (2 * step) for up, down in zip(above, below, strict=True)])
        log_density = (a - 1) * mp.log(x) + (b - 1) * mp.log(y) - log_beta(a, b)
        return tuple(
            (value, in_a, in_b, sign * mp.exp(log_density - value))
            for value, in_a, in_b, sign in zip(values, *moved, (1, -1), strict=True)
        )


def test_the_oracle_agrees_with_mpmath() -> None:
    with mp.workdps(60):
        for a, b, x in ((0.3, 2.0, 0.01), (0.3, 0.4, 0.7), (7.5, 3.0, 0.2), (7.5, 30.0, 0.6)):
            log_p, _ = log_tails(mp.mpf(a), mp.mpf(b), mp.mpf(x), 1 - mp.mpf(x))
            assert abs(log_p - mp.log(mp.betainc(a, b, 0, x, regularized=True))) < 1e-25


def grid(count: int, largest: float, seed: int) -> tuple[np.ndarray, ...]:
    """Parameters of every size, with logit x around the centre, next to it, far from it, and anywhere.

    Exact in float32: the smaller one of x and y is, the other one is rounded as a user would get it.
    """
    rng = np.random.default_rng(seed)
    a, b = log_grid(-3, np.log10(largest), count, seed), log_grid(-3, np.log10(largest), count, seed + 1)
    z = rng.normal(size=count)
    centre = np.log(a / b)
    logit = np.choose(
        rng.integers(0, 4, count),
        [centre + 3 * z * np.sqrt(1 / (a + 0.1) + 1 / (b + 0.1)), centre + 1e-3 * z, centre + z, 8 * z],
    )
    small = (1 / (1 + np.exp(np.abs(logit)))).astype(np.float32)
    return a.astype(np.float32), b.astype(np.float32), small, logit < 0


A, B, SMALL, LEFT = (np.concatenate(parts) for parts in zip(grid(110, 1e4, 0), grid(8, 1e7, 2), strict=True))


def arguments(dtype: type) -> list[np.ndarray]:
    small = SMALL.astype(dtype)
    return [A.astype(dtype), B.astype(dtype), np.where(LEFT, small, 1 - small), np.where(LEFT, 1 - small, small)]


GRADIENT = {function: jax.jit(jax.vmap(jax.grad(function, (0, 1, 2)))) for function in (log_betainc, log_betaincc)}


def gradient(function: Any, a: np.ndarray, b: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Slopes in a, b and x at a few points, repeated to the size of the grid: compiling is what takes the time."""
    slopes = GRADIENT[function](*(np.resize(value, A.size) for value in (a, b, x, 1 - x)))
    return np.stack(slopes)[:, : x.size]


@functools.cache
def on_the_grid(function: Any, dtype: type) -> list[np.ndarray]:
    """The values and the slopes in a, b and x."""
    with jax.enable_x64(dtype is np.float64):
        points = arguments(dtype)
        return [np.asarray(function(*points)), *(np.asarray(slope) for slope in GRADIENT[function](*points))]


@pytest.mark.parametrize(
    ("lower", "dtype"),
    [
        (True, np.float32),
        (True, np.float64),
        (False, np.float32),
        pytest.param(False, np.float64, marks=pytest.mark.thorough),  # the same formula, with a and b changed over
    ],
)
@pytest.mark.parametrize("part", ["value", "slope in a", "slope in b", "slope in x"])
def test_values_and_slopes_agree_with_the_oracle(part: str, lower: bool, dtype: type) -> None:
    """In units of one ulp of the result, of the arguments, and of the log of the smaller tail, from which the other comes."""
    function = log_betainc if lower else log_betaincc
    index = ("value", "slope in a", "slope in b", "slope in x").index(part)
    points, got = arguments(dtype), on_the_grid(function, dtype)[index]
    assert got.dtype == dtype
    limits = np.finfo(dtype)
    worst: tuple[float, Any] = (0.0, None)
    for a, b, x, y, result in zip(*points, got, strict=True):
        sides = truth(*(float(value) for value in (a, b, x, y)))
        (value, in_a, in_b, in_x), (other, *_) = sides if lower else sides[::-1]
        expected = (value, in_a, in_b, in_x)[index]
        if abs(expected) < limits.tiny / limits.eps or min(value, other) < mp.log(float(limits.tiny)) <= other:
            continue
        if max(abs(expected), abs(in_x)) > limits.max:
            continue
        ulp_a, ulp_b, ulp_x = (float(np.spacing(value)) for value in (a, b, min(x, y)))
        if index == 0:
            conditioning = abs(in_a) * ulp_a + abs(in_b) * ulp_b + abs(in_x) * ulp_x
        else:
            # How the logarithm of the slope in logit x moves with x; those of the slopes in a and b are much the same.
            spread = float(x) * float(y)
            drift = abs(float(a) * float(y) - float(b) * float(x))
            conditioning = (
                abs(expected) * (drift / spread + abs(sides[0 if sides[0][0] < sides[1][0] else 1][3])) * ulp_x
            )
        inherited = abs(expected * min(value, other)) * limits.eps if value > other else 0
        unit = abs(expected) * limits.eps + conditioning + inherited
        error = abs(mp.mpf(float(result)) - expected) / unit if np.isfinite(result) else INF
        if error > worst[0]:
            worst = float(error), ([float(value) for value in (a, b, x, y)], result, float(expected))
    assert worst[0] <= 6.0, worst


def test_far_tails_neither_underflow_nor_lose_digits() -> None:
    rtol = 4 * np.finfo(np.float32).eps
    np.testing.assert_allclose(log_betainc(1e6, 1.0, 0.5, 0.5), -1e6 * np.log(2), rtol=rtol)
    np.testing.assert_allclose(log_betaincc(1.0, 1e6, 0.5, 0.5), -1e6 * np.log(2), rtol=rtol)
    # y = 1e-20 is lost in x = 1 − y.
    np.testing.assert_allclose(log_betaincc(3.0, 2.0, 1.0, 1e-20), np.log(6) - 40 * np.log(10), rtol=rtol)


def test_powers_of_x_and_y() -> None:
    """I_x(a, 1) = xᵃ and 1 − I_x(1, b) = yᵇ."""
    with jax.enable_x64(True):
        a, x = log_grid(-3, 6, A.size), log_grid(-6, -0.001, A.size, 1)
        one = np.ones_like(a)
        np.testing.assert_allclose(log_betainc(a, one, x, 1 - x), a * np.log(x), rtol=1e-13)
        np.testing.assert_allclose(log_betaincc(one, a, 1 - x, x), a * np.log(x), rtol=1e-13)


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.floats(-3, 3))
def test_the_tails_add_up_to_one_and_are_each_others_mirror(a: float, b: float, z: float) -> None:
    x = 1 / (1 + b / a * np.exp(z * np.sqrt(1 / a + 1 / b)))
    low, high = log_betainc(a, b, x), log_betaincc(a, b, x)
    np.testing.assert_allclose(jnp.exp(low) + jnp.exp(high), 1.0, rtol=1e-6)
    np.testing.assert_allclose(log_betainc(b, a, 1 - jnp.float32(x), x), high, rtol=1e-6)


def test_whole_parameters_are_binomial_sums() -> None:
    n, p, k = 9, 0.3, np.arange(9)
    terms = [float(mp.binomial(n, j)) * p**j * (1 - p) ** (n - j) for j in k]
    np.testing.assert_allclose(np.exp(log_betaincc(k + 1.0, n - k + 0.0, p)), np.cumsum(terms), rtol=2e-6)


@pytest.mark.parametrize(
    ("arguments", "log_p", "log_q"),
    [
        ((2.0, 3.0, 0.0), -INF, 0.0),
        ((2.0, 3.0, 1.0), 0.0, -INF),
        ((0.001, 0.001, 1.0), 0.0, -INF),
        ((0.0, 1.0, 0.5), NAN, NAN),
        ((1.0, -1.0, 0.5), NAN, NAN),
        ((1.0, INF, 0.5), NAN, NAN),
        ((1.0, 1.0, -0.5), NAN, NAN),
        ((1.0, 1.0, 1.5), NAN, NAN),
        ((1.0, 1.0, NAN), NAN, NAN),
        ((NAN, 1.0, 0.5), NAN, NAN),
    ],
)
def test_limits_are_taken_and_the_rest_is_nan(arguments: tuple[float, ...], log_p: float, log_q: float) -> None:
    np.testing.assert_array_equal(log_betainc(*arguments), log_p)
    np.testing.assert_array_equal(log_betaincc(*arguments), log_q)


def test_slopes_at_the_ends_are_not_nan() -> None:
    one, two, three = np.float32([[1, 1], [2, 2], [3, 3]])
    at_0 = gradient(log_betaincc, np.float32([1, 2]), three, 0 * one)
    np.testing.assert_array_equal(at_0, [[0, 0], [0, 0], [-3, 0]])
    at_1 = gradient(log_betainc, three, np.float32([1, 2]), one)
    np.testing.assert_array_equal(at_1, [[0, 0], [0, 0], [3, 0]])
    assert np.all(np.isfinite(gradient(log_betainc, two, three, 0 * one + np.float32(1e-30))))


def test_the_slope_is_taken_through_x_however_y_is_given() -> None:
    density, log_p = 12 * 0.75**2 * 0.25, np.log(0.73828125)
    for y in (None, 0.25):
        np.testing.assert_allclose(
            jax.jvp(lambda x, y=y: log_betainc(3.0, 2.0, x, y), (0.75,), (1.0,)),
            (log_p, density / np.exp(log_p)),
            rtol=1e-6,
        )


def test_second_slopes_are_those_of_the_slopes() -> None:
    with jax.enable_x64(True):
        point = np.array([[0.4, 3.0, 3.0, 500.0], [2.0, 0.5, 4.0, 400.0], [0.1, 0.9, 0.5, 0.57]])
        slopes = jax.grad(log_betainc, (0, 1, 2))
        # A column of the Hessian at a time, by one program: that of all of them takes twice as long to compile.
        column = jax.jit(jax.vmap(lambda at, direction: jax.jvp(lambda at: slopes(*at), (at,), (direction,))[1]))
        hessian = np.stack([column(tuple(point), tuple(np.tile(row[:, None], 4))) for row in np.eye(3)], axis=1)
        for i in range(3):
            step = np.zeros_like(point)
            step[i] = 1e-5 * point[i]
            moved = gradient(log_betainc, *(point + step)) - gradient(log_betainc, *(point - step))
            np.testing.assert_allclose(hessian[:, i], moved / (2 * step[i]), rtol=5e-5)


# The inverse ----------------------------------------------------------------------------------------------------------

LOG_TAIL = -np.concatenate([log_grid(-0.15, 0.5, 40, 3), log_grid(0, 4, 40, 4)])
P = np.concatenate([log_grid(-2.5, 4, 60, 5), log_grid(-1, 1, 20, 6)])
Q = np.concatenate([log_grid(-2.5, 4, 60, 7), log_grid(-1, 1, 20, 8)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lower", [True, False])
def test_the_quantile_solves_its_equation_at_both_ends(lower: bool, dtype: type) -> None:
    """The smaller of x and 1 − x is right to a few ulp, and to what one ulp in a, b or the log-probability changes."""
    with jax.enable_x64(dtype is np.float64):
        a, b, log_tail = P.astype(dtype), Q.astype(dtype), LOG_TAIL.astype(dtype)
        log_other = np.log1p(-np.exp(log_tail))
        pair = beta_quantile_from_log(a, b, *((log_tail, log_other) if lower else (log_other, log_tail)))
    x, y = (np.asarray(value) for value in pair)
    assert x.dtype == y.dtype == dtype
    limits = np.finfo(dtype)
    np.testing.assert_allclose(x + y, 1.0, rtol=limits.eps)
    for *shapes, target, at_0, at_1 in zip(a, b, log_tail, x, y, strict=True):
        part = min(float(at_0), float(at_1))
        if part < limits.tiny:
            continue
        value, in_a, in_b, in_x = truth(*map(float, (*shapes, at_0, at_1)))[0 if lower else 1]
        slope = abs(in_x) * part
        moved = abs(in_a) * float(np.spacing(shapes[0])) + abs(in_b) * float(np.spacing(shapes[1]))
        unit = limits.eps + (float(np.spacing(-target)) + moved) / slope
        assert abs(value - mp.mpf(float(target))) / slope <= 3 * unit, (shapes, target, at_0, at_1)


def test_the_quantile_keeps_both_ends() -> None:
    x, y = beta_quantile_from_log(2.0, 3.0, 0.0, -120.0)
    assert x == 1.0
    np.testing.assert_allclose(log_betaincc(2.0, 3.0, x, y), -120.0, rtol=1e-6)
    x, y = beta_quantile_from_log(200.0, 3.0, -1e4, 0.0)
    assert y == 1.0
    np.testing.assert_allclose(log_betainc(200.0, 3.0, x, y), -1e4, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "x", "y"),
    [
        ((2.0, 3.0, -INF, 0.0), 0.0, 1.0),
        ((2.0, 3.0, 0.0, -INF), 1.0, 0.0),
        ((0.0, 3.0, -1.0, -0.5), NAN, NAN),
        ((2.0, NAN, -1.0, -0.5), NAN, NAN),
        ((2.0, 3.0, 0.5, -0.5), NAN, NAN),
        ((2.0, 3.0, NAN, -0.5), NAN, NAN),
    ],
)
def test_limits_of_the_quantile(arguments: tuple[float, ...], x: float, y: float) -> None:
    np.testing.assert_array_equal(beta_quantile_from_log(*arguments), (x, y))


def test_slopes_of_the_quantile_are_those_of_the_equation() -> None:
    def quantile(a: Any, b: Any, p: Any) -> jax.Array:
        return beta_quantile_from_log(a, b, jnp.log(p), jnp.log1p(-p))[0]

    with jax.enable_x64(True):
        point = np.array([[0.2, 0.2, 3.0, 3.0, 1e3], [0.3, 2.0, 0.5, 4.0, 700.0], [0.1, 0.9, 0.7, 0.3, 0.999]])
        slopes = jax.jit(jax.vmap(jax.grad(quantile, (0, 1, 2))))(*point)
        for i, slope in enumerate(slopes):
            step = np.zeros_like(point)
            step[i] = 1e-5 * (point[i] if i < 2 else np.minimum(point[i], 1 - point[i]))
            moved = np.subtract(quantile(*(point + step)), quantile(*(point - step))) / (2 * step[i])
            np.testing.assert_allclose(slope, moved, rtol=1e-6)


def test_everything_compiles_in_batches_and_keeps_its_dtype() -> None:
    a, b = jnp.linspace(0.1, 30.0, 6).reshape(2, 3), jnp.linspace(20.0, 0.2, 6).reshape(2, 3)
    x = jnp.linspace(0.01, 0.99, 6).reshape(2, 3)
    log_p, log_q = log_betainc(a, b, x), log_betaincc(a, b, x)
    assert log_p.dtype == log_q.dtype == jnp.float32
    np.testing.assert_allclose(jax.vmap(log_betainc)(a, b, x), log_p, rtol=1e-5)
    np.testing.assert_allclose(log_betainc(a, 3, 0.5), log_betainc(a, 3 + 0 * a, 0.5 + 0 * a), rtol=1e-6)
    quantile, rest = beta_quantile_from_log(a, b, log_p, log_q)
    assert quantile.dtype == rest.dtype == jnp.float32
    np.testing.assert_allclose(quantile, x, rtol=1e-5)
    np.testing.assert_allclose(rest, 1 - x, rtol=1e-5)
