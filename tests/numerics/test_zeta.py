"""The zeta function and its relatives beside mpmath."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from tests.numerics.oracle import DTYPES, Case, check, close_to, log_grid

from surprax.numerics.zeta import (
    inverse_mean_log,
    log_zeta,
    log_zeta_bregman,
    log_zeta_head,
    log_zeta_tail,
    zeta_cumulant,
)

EXPONENTS = 1.0 + np.append(log_grid(-5, 0, 15), log_grid(0, 1.5, 10))
COUNTS = log_grid(0, 8, 25, seed=2).round()
NEXT = 1.0 + close_to(EXPONENTS - 1.0, 25)


@functools.cache
def power_sum(s, a=1, order=0):
    """Σ x⁻ˢ (log x)ⁿ over x ≥ a, which the oracles ask for again and again."""
    return (-1) ** order * mp.zeta(s, a, order)


def cumulant(order, s):
    """From no more power sums than it takes: those of high orders take longest."""
    if order == 0:
        return mp.log(power_sum(s))
    one, *more = (power_sum(s, 1, n) / power_sum(s) for n in range(1, order + 1))
    if order == 1:
        return one
    if order == 2:
        return more[0] - one**2
    two, three = more
    return three - 3 * one * two + 2 * one**3


def head(k, s, order=0):
    return power_sum(s, 1, order) - power_sum(s, k + 1, order)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "case",
    [
        Case(log_zeta, lambda s: cumulant(0, s), (lambda s: -cumulant(1, s),), (EXPONENTS,)),
        Case(lambda s: zeta_cumulant(2, s), lambda s: cumulant(2, s), (lambda s: -cumulant(3, s),), (EXPONENTS,)),
        Case(
            log_zeta_bregman,
            lambda q, p: cumulant(0, q) - cumulant(0, p) + (q - p) * cumulant(1, p),
            (lambda q, p: cumulant(1, p) - cumulant(1, q), lambda q, p: (p - q) * cumulant(2, p)),
            (NEXT, EXPONENTS),
        ),
        Case(
            lambda s, k: log_zeta_tail(k, s),
            lambda s, k: mp.log(power_sum(s, k + 1)),
            (lambda s, k: -power_sum(s, k + 1, 1) / power_sum(s, k + 1),),
            (EXPONENTS, COUNTS),
        ),
        Case(
            lambda s, k: log_zeta_head(k, s),
            lambda s, k: mp.log(head(k, s)),
            (lambda s, k: -head(k, s, 1) / head(k, s),),
            (EXPONENTS, COUNTS),
        ),
    ],
    ids=["log_zeta", "variance", "bregman", "tail", "head"],
)
def test_values_and_slopes_have_their_digits(case, dtype):
    check(case, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_inverse_of_the_mean_logarithm_goes_round(dtype):
    with jax.enable_x64(dtype is np.float64):
        y = jnp.asarray(log_grid(-7, 5, 50), dtype)
        s = jax.jit(inverse_mean_log)(y)
        mean, variance = jax.jit(lambda s: (zeta_cumulant(1, s), zeta_cumulant(2, s)))(s)
        # One ulp of the exponent moves the mean by its variance times that.
        moved = variance * s * jnp.finfo(dtype).eps
        assert jnp.all(jnp.abs(mean - y) <= 2 * moved + 4 * jnp.finfo(dtype).eps * y)


def test_limits():
    assert log_zeta(1.0) == jnp.inf
    assert log_zeta(jnp.inf) == 0.0
    assert jnp.isnan(log_zeta(0.5))
    assert inverse_mean_log(0.0) == jnp.inf
    assert inverse_mean_log(jnp.inf) == 1.0
    assert jnp.isnan(inverse_mean_log(-1.0))
    assert log_zeta_head(0.0, 2.0) == -jnp.inf
    np.testing.assert_allclose(log_zeta(200.0), 0.0, atol=1e-30)
