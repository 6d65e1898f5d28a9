"""The gamma function and its relatives against mpmath: values, slopes, second slopes, limits, identities."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.numerics.oracle import DTYPES, INF, NAN, Case, check, close_to, log_grid

from surprax.numerics import gamma as gm
from surprax.numerics import gamma_differences as gd


def lg(a: Any) -> Any:
    return mp.loggamma(a)


def psi(order: int, a: Any) -> Any:
    return mp.psi(order, a)


def binet(a: Any) -> Any:
    return lg(a) - (a - mp.mpf(1) / 2) * mp.log(a) + a - mp.log(2 * mp.pi) / 2


def inverse_log_minus_digamma(y: Any) -> Any:
    a = (3 - y + mp.sqrt((y - 3) ** 2 + 24 * y)) / (12 * y)
    for _ in range(8):
        value = mp.log(a) - psi(0, a)
        a *= mp.exp(mp.log(value / y) * value / (a * (psi(1, a) - 1 / a)))
    return a


def inverse_digamma(y: Any) -> Any:
    a = mp.exp(y) + mp.mpf(1) / 2 if y > -2.22 else -1 / (y + mp.euler)
    for _ in range(9):
        a -= (psi(0, a) - y) / psi(1, a)
    return a


# All magnitudes, the middle, and the neighbourhoods of 1, 2, the root of digamma and the joints of the approximations.
A = np.concatenate(
    [log_grid(-15, 15, 40), log_grid(-2, 1, 40, 5)]
    + [close_to(x, 12, k) for k, x in enumerate((0.25, 1.0, 1.4616321449683622, 2.0, 2.5, 3.0, 4.0))]
)
P = np.concatenate([log_grid(-12, 12, 40, 1), log_grid(-3, 6, 40, 2), log_grid(-0.5, 0.5, 30, 3)])
Q = np.concatenate([log_grid(-12, 12, 40, 5), log_grid(-3, 6, 40, 6), log_grid(-6, 1, 30, 7)])
B = np.concatenate([log_grid(-8, 8, 40, 1), log_grid(-3, 7, 60, 2)])
NEAR_B = np.concatenate([log_grid(-8, 8, 40, 3), close_to(B[40:], 60)])
N = np.round(np.concatenate([log_grid(0, 3, 30, 1), log_grid(3, 6.9, 50, 2)]))
K = np.concatenate([np.round(N[:60] * np.linspace(0, 1, 60)), np.minimum(np.arange(20), N[60:])])

CASES = (
    Case(gm.stirling_error, binet, (lambda a: psi(0, a) - mp.log(a) + 1 / (2 * a),), (A,)),
    Case(gm.log_minus_digamma, lambda a: mp.log(a) - psi(0, a), (lambda a: 1 / a - psi(1, a),), (A,)),
    Case(gm.trigamma_minus_reciprocal, lambda a: psi(1, a) - 1 / a, (lambda a: psi(2, a) + 1 / a**2,), (A,)),
    Case(gm.digamma, lambda a: psi(0, a), (lambda a: psi(1, a),), (A,)),
    Case(gm.trigamma, lambda a: psi(1, a), (lambda a: psi(2, a),), (A,)),
    Case(gm.tetragamma, lambda a: psi(2, a), (lambda a: psi(3, a),), (A,)),
    Case(gm.log_gamma, lg, (lambda a: psi(0, a),), (A,)),
    Case(gm.log_factorial, lambda k: lg(1 + k), (lambda k: psi(0, 1 + k),), (A,)),
    Case(
        gd.log_gamma_difference,
        lambda a, b: lg(a + b) - lg(a),
        (lambda a, b: psi(0, a + b) - psi(0, a), lambda a, b: psi(0, a + b)),
        (P, Q),
    ),
    Case(
        gd.log_beta,
        lambda a, b: lg(a) + lg(b) - lg(a + b),
        (lambda a, b: psi(0, a) - psi(0, a + b), lambda a, b: psi(0, b) - psi(0, a + b)),
        (P, Q),
    ),
    Case(
        gd.digamma_difference,
        lambda b, a: psi(0, b) - psi(0, a),
        (lambda b, a: psi(1, b), lambda b, a: -psi(1, a)),
        (B, NEAR_B),
    ),
    Case(
        gd.log_gamma_bregman,
        lambda b, a: lg(b) - lg(a) - psi(0, a) * (b - a),
        (lambda b, a: psi(0, b) - psi(0, a), lambda b, a: -psi(1, a) * (b - a)),
        (B, NEAR_B),
    ),
    Case(
        gd.log_binomial_coefficient,
        lambda n, k: lg(n + 1) - lg(k + 1) - lg(n - k + 1),
        (lambda n, k: psi(0, n + 1) - psi(0, n - k + 1), lambda n, k: psi(0, n - k + 1) - psi(0, k + 1)),
        (N, K),
    ),
    Case(
        gm.inverse_log_minus_digamma,
        inverse_log_minus_digamma,
        (lambda y: -1 / (psi(1, a := inverse_log_minus_digamma(y)) - 1 / a),),
        (np.concatenate([log_grid(-15, 15, 15), log_grid(-2, 1.5, 20), close_to(1.75, 12, 1), close_to(0.5, 12, 2)]),),
    ),
    Case(
        gm.inverse_digamma,
        inverse_digamma,
        (lambda y: 1 / psi(1, inverse_digamma(y)),),
        (np.concatenate([-log_grid(-3, 12, 10), np.linspace(-4, 2, 20), np.linspace(2, 80, 10)]),),
    ),
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_values_and_slopes_agree_with_mpmath(case: Case, dtype: type) -> None:
    check(case, dtype)


def nth_slope(function: Callable[..., jax.Array], *indices: int) -> Callable[..., jax.Array]:
    for index in indices:
        function = jax.grad(function, index)
    return jax.jit(jax.vmap(function))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("function", "indices", "oracle", "arguments"),
    [
        (gm.stirling_error, (0, 0), lambda a: psi(1, a) - 1 / a - 1 / (2 * a * a), (A,)),
        (gm.stirling_error, (0, 0, 0), lambda a: psi(2, a) + 1 / a**2 + 1 / a**3, (A,)),
        (gd.log_gamma_difference, (0, 0), lambda a, b: psi(1, a + b) - psi(1, a), (P, Q)),
        (gd.log_gamma_difference, (0, 1), lambda a, b: psi(1, a + b), (P, Q)),
        (gd.log_beta, (0, 1), lambda a, b: -psi(1, a + b), (P, Q)),
        (gd.log_gamma_bregman, (0, 1), lambda b, a: -psi(1, a), (B, NEAR_B)),
    ],
)
def test_second_slopes_agree_with_mpmath(
    function: Any, indices: tuple[int, ...], oracle: Any, arguments: tuple[np.ndarray, ...], dtype: type
) -> None:
    check(Case(nth_slope(function, *indices), oracle, (), tuple(argument[::2] for argument in arguments)), dtype)


@pytest.mark.parametrize(
    ("function", "arguments", "value"),
    [
        (gm.stirling_error, (0.0,), INF),
        (gm.stirling_error, (INF,), 0.0),
        (gm.log_minus_digamma, (0.0,), INF),
        (gm.log_minus_digamma, (INF,), 0.0),
        (gm.trigamma_minus_reciprocal, (0.0,), INF),
        (gm.trigamma_minus_reciprocal, (INF,), 0.0),
        (gm.digamma, (0.0,), -INF),
        (gm.digamma, (INF,), INF),
        (gm.trigamma, (0.0,), INF),
        (gm.trigamma, (INF,), 0.0),
        (gm.tetragamma, (0.0,), -INF),
        (gm.tetragamma, (INF,), 0.0),
        (gm.log_gamma, (0.0,), INF),
        (gm.log_gamma, (1.0,), 0.0),
        (gm.log_gamma, (2.0,), 0.0),
        (gm.log_gamma, (INF,), INF),
        (gm.log_factorial, (0,), 0.0),
        (gm.log_factorial, (1,), 0.0),
        (gd.log_gamma_difference, (3.0, 0.0), 0.0),
        (gd.log_gamma_difference, (0.0, 0.0), 0.0),
        (gd.log_gamma_difference, (0.0, 2.0), -INF),
        (gd.log_gamma_difference, (2.0, -1.0), NAN),
        (gd.digamma_difference, (3.0, 3.0), 0.0),
        (gd.log_gamma_bregman, (3.0, 3.0), 0.0),
        (gd.log_gamma_bregman, (0.0, 3.0), INF),
        (gd.log_gamma_bregman, (3.0, 0.0), INF),
        (gd.log_beta, (0.0, 3.0), INF),
        (gd.log_beta, (3.0, 0.0), INF),
        (gd.log_binomial_coefficient, (5, 0), 0.0),
        (gd.log_binomial_coefficient, (5, 5), 0.0),
        (gd.log_binomial_coefficient, (0, 0), 0.0),
        (gd.log_binomial_coefficient, (5, 6), -INF),
        (gd.log_binomial_coefficient, (5, -1), -INF),
        (gd.log_binomial_coefficient, (-5, 1), NAN),
        (gm.inverse_log_minus_digamma, (0.0,), INF),
        (gm.inverse_log_minus_digamma, (-0.0,), INF),
        (gm.inverse_log_minus_digamma, (INF,), 0.0),
        (gm.inverse_log_minus_digamma, (-1.0,), NAN),
        (gm.inverse_log_minus_digamma, (-INF,), NAN),
        (gm.inverse_log_minus_digamma, (NAN,), NAN),
        (gm.inverse_digamma, (-INF,), 0.0),
        (gm.inverse_digamma, (INF,), INF),
    ],
)
def test_limits_are_taken(function: Any, arguments: tuple[float, ...], value: float) -> None:
    np.testing.assert_array_equal(function(*arguments), value)


@pytest.mark.parametrize("case", CASES[:13], ids=repr)
def test_negative_and_missing_arguments_give_nan(case: Case) -> None:
    if case.function is gd.log_binomial_coefficient:
        pytest.skip("k outside [0, n] has a value there")
    for bad in (-0.5, -1.5, NAN):
        for i in range(len(case.arguments)):
            arguments = [2.0] * len(case.arguments)
            arguments[i] = bad
            assert np.isnan(case.function(*arguments)), (bad, i)


def test_the_extremes_of_float32_agree_with_float64() -> None:
    """No infinity where the truth is finite, and no number where it is not, over all magnitudes of both arguments."""
    edges = np.array([1e-37, 1e-30, 1e-20, 1e-10, 0.25, 1.0, 2.5, 1e3, 1e7, 1e10, 1e20, 1e30, 1e37], np.float32)
    a, b = (grid.ravel() for grid in np.meshgrid(edges, edges))
    for function in (gd.log_beta, gd.log_gamma_difference, gd.digamma_difference, gd.log_gamma_bregman):
        got = np.asarray(function(a, b))
        with jax.enable_x64(True):
            want = np.asarray(function(a.astype(np.float64), b.astype(np.float64)))
        with np.errstate(over="ignore"):
            want = want.astype(np.float32)
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6, err_msg=function.__name__)


def test_slopes_are_flat_where_there_is_no_way_to_choose() -> None:
    assert jax.grad(gd.log_binomial_coefficient, (0, 1))(5.0, 7.0) == (0.0, 0.0)


@given(st.floats(2**-10, 1e5, width=32), st.floats(2**-10, 1e5, width=32))
def test_beta_is_symmetric_and_a_ratio_of_gammas(a: float, b: float) -> None:
    with jax.enable_x64(True):
        np.testing.assert_allclose(gd.log_beta(a, b), gd.log_beta(b, a), rtol=0, atol=0)
        ratio = gm.log_gamma(a) - gd.log_gamma_difference(b, a)
        np.testing.assert_allclose(gd.log_beta(a, b), ratio, rtol=1e-13, atol=1e-14 * float(a + b) * 20)


def test_pascal_triangle() -> None:
    n = jnp.arange(1.0, 60.0)[:, None]
    k = jnp.broadcast_to(jnp.arange(1.0, 60.0)[None, :], (59, 59))
    n = jnp.broadcast_to(n, (59, 59))
    inside = k <= n
    total = jnp.exp(gd.log_binomial_coefficient(n, k)) + jnp.exp(gd.log_binomial_coefficient(n, k - 1))
    got = gd.log_binomial_coefficient(n + 1, k)
    np.testing.assert_allclose(got[inside], jnp.log(total)[inside], rtol=3e-6, atol=3e-6)


def test_inverses_invert_at_every_batch_position() -> None:
    a = jnp.asarray(np.geomspace(1e-3, 1e3, 64).reshape(8, 8), jnp.float32)
    there_and_back = jax.jit(jax.vmap(lambda a: gm.inverse_log_minus_digamma(gm.log_minus_digamma(a))))(a)
    np.testing.assert_allclose(there_and_back, a, rtol=2e-6)
    with jax.enable_x64(True):
        a = jnp.asarray(np.geomspace(1e-3, 1e3, 64))
        np.testing.assert_allclose(gm.inverse_digamma(gm.digamma(a)), a, rtol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_shape_at_the_ends_of_the_range_is_the_leading_term(dtype: type) -> None:
    """1/(2y) + 1/6 for small y, 1/(y + log y − γ) for great y, without overflow on the way."""
    limits = np.finfo(dtype)
    ends = np.array([limits.tiny, 1e9 * limits.tiny, 1e-2 * limits.eps], dtype)
    with jax.enable_x64(dtype is np.float64):
        np.testing.assert_allclose(gm.inverse_log_minus_digamma(ends), 0.5 / ends, rtol=2 * limits.eps)
        ends = np.array([1e2 / limits.eps, 1e-9 * limits.max, 0.1 * limits.max], dtype)
        want = 1 / (ends + np.log(ends) - dtype(np.euler_gamma))
        np.testing.assert_allclose(gm.inverse_log_minus_digamma(ends), want, rtol=2 * limits.eps)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a property of XLA's CPU backend")
@pytest.mark.parametrize(
    "function",
    [
        gm.stirling_error,
        gm.log_gamma,
        gm.digamma,
        gm.trigamma,
        gm.log_minus_digamma,
        gm.inverse_log_minus_digamma,
    ],
)
def test_a_sum_is_one_kernel(function: Any) -> None:
    """No more than one array of temporaries: what is computed elementwise is not spread over several loops."""
    x = jnp.ones(100_000)
    compiled = jax.jit(lambda x: jnp.sum(function(x))).lower(x).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= 1.05 * x.nbytes
