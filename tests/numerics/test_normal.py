"""The normal tail and the inverse Gaussian against mpmath: values, slopes, second slopes, limits, inverses."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from tests.numerics.oracle import DTYPES, INF, NAN, Case, check, log_grid

from surprax.numerics import normal as nm


def upper(z: Any) -> Any:
    return mp.erfc(z / mp.sqrt(2)) / 2


def log_phi(z: Any) -> Any:
    return mp.log(upper(-z)) if z < 1 else mp.log1p(-upper(z))


def hazard(z: Any) -> Any:
    """φ(z)/Φ(z)."""
    return mp.npdf(z) / upper(-z)


def mills(z: Any) -> Any:
    return upper(z) / mp.npdf(z)


def quantile(log_p: Any) -> Any:
    """z with log Φ(z) = log_p: Newton's method, monotone from the left of the root."""
    if log_p > -mp.log(2):
        return -quantile(mp.log(-mp.expm1(log_p)))
    z = -mp.sqrt(-2 * log_p)
    for _ in range(9):
        z -= (log_phi(z) - log_p) / hazard(z)
    return z


SIGNED = np.concatenate([log_grid(-6, 0.9, 40), -log_grid(-6, 0.9, 40, 1), log_grid(0.9, 4.5, 20, 2)])
LOG_P = -np.concatenate([log_grid(-0.1, 7, 20), log_grid(-25, -0.5, 15, 1)])

CASES = (
    Case(nm.mills_ratio, mills, (lambda z: z * mills(z) - 1,), (SIGNED,)),
    Case(
        nm.erfcx,
        lambda x: mp.exp(x * x) * mp.erfc(x),
        (lambda x: 2 * x * mp.exp(x * x) * mp.erfc(x) - 2 / mp.sqrt(mp.pi),),
        (SIGNED,),
    ),
    Case(
        nm.log_erfc,
        lambda x: mp.log1p(-mp.erf(x)) if x < 0.5 else mp.log(mp.erfc(x)),
        (lambda x: -2 / mp.sqrt(mp.pi) * mp.exp(-x * x) / mp.erfc(x),),
        (np.concatenate([SIGNED, -log_grid(0.5, 1, 5)]),),
    ),
    Case(
        nm.log_erf,
        lambda x: mp.log(mp.erf(x)) if x < 0.5 else mp.log1p(-mp.erfc(x)),
        (lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x) / mp.erf(x),),
        (log_grid(-20, 0.7, 40),),
    ),
    Case(nm.log_ndtr, log_phi, (hazard,), (np.concatenate([-SIGNED, log_grid(0.5, 1, 10)]),)),
    Case(nm.ndtri_exp, quantile, (lambda log_p: 1 / hazard(quantile(log_p)),), (LOG_P,)),
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_values_and_slopes_agree_with_mpmath(case: Case, dtype: type) -> None:
    check(case, dtype, bound=6.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_curvature_of_log_phi_is_minus_one_in_the_far_tail(dtype: type) -> None:
    curvature = jax.vmap(jax.grad(jax.grad(nm.log_ndtr)))
    check(Case(curvature, lambda z: -hazard(z) * (hazard(z) + z), (), (-SIGNED[::2],)), dtype, bound=8.0)


# The inverse Gaussian: with 200 digits the textbook formula, whose exponential and difference are hopeless otherwise, holds.


@functools.cache
def tails(x: Any, mean: Any, shape: Any) -> tuple[Any, Any, Any, Any]:
    """(P, Q, √(shape/x)·(x/mean − 1), exp(2·shape/mean)·Φ(−z₂))."""
    with mp.workdps(200):
        scale = mp.sqrt(shape / x)
        z, reflected = scale * (x / mean - 1), scale * (x / mean + 1)
        image = mp.exp(2 * shape / mean) * upper(reflected)
        return upper(-z) + image, upper(z) - image, z, image


def log_tail(lower: bool) -> Callable[..., Any]:
    def function(*point: Any) -> Any:
        p, q, *_ = tails(*point)
        one, other = (p, q) if lower else (q, p)
        return mp.log(one) if one < 0.5 else mp.log1p(-other)

    return function


def slopes(lower: bool) -> tuple[Callable[..., Any], ...]:
    def over_tail(moving: Callable[..., Any]) -> Callable[..., Any]:
        def slope(*point: Any) -> Any:
            p, q, *_ = tails(*point)
            return moving(*point) / p if lower else -moving(*point) / q

        return slope

    def in_x(x: Any, mean: Any, shape: Any) -> Any:
        return mp.npdf(tails(x, mean, shape)[2]) * mp.sqrt(shape / x) / x

    def in_mean(x: Any, mean: Any, shape: Any) -> Any:
        return -2 * shape / mean**2 * tails(x, mean, shape)[3]

    def in_shape(x: Any, mean: Any, shape: Any) -> Any:
        _, _, z, image = tails(x, mean, shape)
        return 2 / mean * image - mp.npdf(z) / mp.sqrt(shape * x)

    return tuple(over_tail(moving) for moving in (in_x, in_mean, in_shape))


MEAN = log_grid(-2, 2, 30, 1)
SHAPE = MEAN * log_grid(-4, 2, 30, 2)
X = MEAN * np.exp(np.minimum(3, 3 * np.sqrt(MEAN / SHAPE)) * np.random.default_rng(3).normal(size=30))


@pytest.mark.parametrize(
    ("lower", "dtype"),
    [
        (True, np.float32),
        pytest.param(True, np.float64, marks=pytest.mark.thorough),  # one formula for both tails
        pytest.param(False, np.float32, marks=pytest.mark.thorough),
        (False, np.float64),
    ],
)
def test_inverse_gaussian_tails_agree_with_the_textbook_formula_in_200_digits(lower: bool, dtype: type) -> None:
    function = nm.log_inverse_gaussian_cdf if lower else nm.log_inverse_gaussian_sf
    check(Case(function, log_tail(lower), slopes(lower), (X, MEAN, SHAPE)), dtype)


def test_inverse_gaussian_tails_stay_finite_far_out() -> None:
    np.testing.assert_allclose(nm.log_inverse_gaussian_cdf(1e-6, 1.0, 2.0), -1e6, rtol=1e-4)
    np.testing.assert_allclose(nm.log_inverse_gaussian_sf(1e6, 1.0, 2.0), -1e6, rtol=1e-4)
    np.testing.assert_allclose(nm.log_inverse_gaussian_cdf(1.0, 1.0, 1e30), -np.log(2), rtol=1e-6)
    np.testing.assert_allclose(nm.log_inverse_gaussian_cdf(1.5, 1e-3, 1e6), 0.0)


@pytest.mark.parametrize(
    ("function", "arguments", "value"),
    [
        (nm.mills_ratio, (INF,), 0.0),
        (nm.mills_ratio, (-INF,), INF),
        (nm.mills_ratio, (NAN,), NAN),
        (nm.erfcx, (INF,), 0.0),
        (nm.erfcx, (-INF,), INF),
        (nm.erfcx, (0.0,), 1.0),
        (nm.log_erfc, (INF,), -INF),
        (nm.log_erfc, (0.0,), 0.0),
        (nm.log_ndtr, (INF,), 0.0),
        (nm.log_ndtr, (-INF,), -INF),
        (nm.log_ndtr, (NAN,), NAN),
        (nm.ndtri_exp, (0.0,), INF),
        (nm.ndtri_exp, (-INF,), -INF),
        (nm.ndtri_exp, (0.1,), NAN),
        (nm.ndtri_exp, (NAN,), NAN),
        (nm.normal_quantile_from_log, (-INF, 0.0), -INF),
        (nm.normal_quantile_from_log, (0.0, -INF), INF),
        (nm.normal_quantile_from_log, (NAN, -1.0), NAN),
        (nm.log_inverse_gaussian_cdf, (0.0, 1.0, 1.0), -INF),
        (nm.log_inverse_gaussian_cdf, (INF, 1.0, 1.0), 0.0),
        (nm.log_inverse_gaussian_sf, (0.0, 1.0, 1.0), 0.0),
        (nm.log_inverse_gaussian_sf, (INF, 1.0, 1.0), -INF),
        (nm.log_inverse_gaussian_cdf, (-1.0, 1.0, 1.0), NAN),
        (nm.log_inverse_gaussian_sf, (1.0, -1.0, 1.0), NAN),
        (nm.log_inverse_gaussian_sf, (1.0, 1.0, 0.0), NAN),
        (nm.log_inverse_gaussian_sf, (NAN, 1.0, 1.0), NAN),
    ],
)
def test_limits_are_taken_and_the_rest_is_nan(function: Any, arguments: tuple[float, ...], value: float) -> None:
    np.testing.assert_array_equal(function(*arguments), value)


@pytest.mark.parametrize("z", [-1e30, -1e4, -0.0, 0.0, 50.0, 1e30, INF])
def test_slopes_of_log_phi_are_finite_and_positive_everywhere(z: float) -> None:
    slope = jax.grad(nm.log_ndtr)(z)
    assert np.isfinite(slope)
    assert slope >= 0


def test_the_quantile_uses_the_smaller_tail_in_value_and_slope() -> None:
    z = nm.normal_quantile_from_log(jnp.array([-1e4, 0.0]), jnp.array([0.0, -1e4]))
    np.testing.assert_allclose(z[0], -z[1])
    by_p, by_q = jax.grad(nm.normal_quantile_from_log, (0, 1))(-1e4, 0.0)
    np.testing.assert_allclose(by_p, nm.mills_ratio(-z[0]), rtol=1e-6)
    assert by_q == 0


def test_gauss_legendre_integrates_polynomials_to_the_last_digit() -> None:
    for count in (4, 12, 26):
        nodes, weights = nm.gauss_legendre(count)
        for degree in (0, 1, count, 2 * count - 1):
            np.testing.assert_allclose(weights @ nodes**degree, 1 / (degree + 1), rtol=1e-15)


def test_results_have_the_dtype_of_their_arguments_and_compile_in_batches() -> None:
    z = jnp.linspace(-3.0, 3.0, 6).reshape(2, 3)
    for function in (nm.mills_ratio, nm.erfcx, nm.log_erfc, nm.log_ndtr):
        assert function(z).dtype == jnp.float32
        np.testing.assert_allclose(jax.jit(jax.vmap(function))(z), function(z), rtol=1e-6)
        with jax.enable_x64(True):
            assert function(np.float64(1.0)).dtype == jnp.float64
