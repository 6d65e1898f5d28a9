"""Elementary primitives against mpmath: values and slopes over wide grids, limits, tangents of constants, dtypes."""

from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.numerics.oracle import DTYPES, INF, NAN, Case, check, close_to, log_grid

from surprax.numerics import elementary as el

X, NEAR = log_grid(-15, 15, 120), close_to(log_grid(-15, 15, 120), 120)
PAIR_X = np.concatenate([X, X, log_grid(-30, 30, 80, 2)])
PAIR_Y = np.concatenate([NEAR, X * log_grid(-1.5, 1.5, 120, 3), log_grid(-30, 30, 80, 4)])
SIGNED = np.concatenate([log_grid(-20, 1.9, 100), -log_grid(-20, 1.9, 100), np.linspace(-3, 3, 101)])

CASES = (
    Case(
        el.log1p_minus,
        lambda u: mp.log1p(u) - u,
        (lambda u: -u / (1 + u),),
        (np.concatenate([log_grid(-20, 20, 100), -log_grid(-20, -1e-7, 100), np.linspace(-0.99, 3, 101)]),),
    ),
    Case(el.expm1_minus, lambda u: mp.expm1(u) - u, (mp.expm1,), (SIGNED,)),
    Case(el.log1mexp, lambda s: mp.log(-mp.expm1(-s)), (lambda s: 1 / mp.expm1(s),), (np.abs(SIGNED) + 1e-30,)),
    Case(
        el.deviance,
        lambda x, mu: x * mp.log(x / mu) - x + mu,
        (lambda x, mu: mp.log(x / mu), lambda x, mu: (mu - x) / mu),
        (PAIR_X, PAIR_Y),
    ),
    Case(
        el.log_ratio,
        lambda x, y: mp.log(x / y),
        (lambda x, y: 1 / x, lambda x, y: -1 / y),
        (PAIR_X, PAIR_Y),
    ),
    Case(
        el.logaddexp,
        lambda x, y: mp.log(mp.exp(x) + mp.exp(y)),
        (lambda x, y: 1 / (1 + mp.exp(y - x)), lambda x, y: 1 / (1 + mp.exp(x - y))),
        (np.linspace(-30, 30, 101), np.linspace(25, -31, 101) ** 3 / 900),
    ),
    Case(
        el.xlogy,
        lambda x, y: x * mp.log(y),
        (lambda x, y: mp.log(y), lambda x, y: x / y),
        (PAIR_X, PAIR_Y),
    ),
    Case(
        el.xlog1py,
        lambda x, y: x * mp.log1p(y),
        (lambda x, y: mp.log1p(y), lambda x, y: x / (1 + y)),
        (PAIR_X, PAIR_Y),
    ),
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_values_and_slopes_agree_with_mpmath(case: Case, dtype: type) -> None:
    check(case, dtype)


@pytest.mark.parametrize(
    ("function", "arguments", "value"),
    [
        (el.log1p_minus, (0.0,), 0.0),
        (el.log1p_minus, (-1.0,), -INF),
        (el.log1p_minus, (INF,), -INF),
        (el.log1p_minus, (-1.5,), NAN),
        (el.expm1_minus, (0.0,), 0.0),
        (el.expm1_minus, (INF,), INF),
        (el.expm1_minus, (-INF,), INF),
        (el.log1mexp, (0.0,), -INF),
        (el.log1mexp, (INF,), 0.0),
        (el.log1mexp, (-1.0,), NAN),
        (el.deviance, (0.0, 3.0), 3.0),
        (el.deviance, (0.0, 0.0), 0.0),
        (el.deviance, (2.0, 0.0), INF),
        (el.deviance, (2.0, INF), INF),
        (el.deviance, (-1.0, -1.5), NAN),
        (el.deviance, (0.0, -1.0), NAN),
        (el.log_ratio, (0.0, 2.0), -INF),
        (el.log_ratio, (2.0, 0.0), INF),
        (el.log_ratio, (2.0, INF), -INF),
        (el.log_ratio, (0.0, 0.0), NAN),
        (el.log_ratio, (-1.0, -1.0), NAN),
        (el.xlogy, (0.0, 0.0), 0.0),
        (el.xlogy, (0.0, INF), 0.0),
        (el.xlogy, (0.0, NAN), NAN),
        (el.xlogy, (1.0, 0.0), -INF),
        (el.xlog1py, (0.0, -1.0), 0.0),
        (el.xlog1py, (0.0, NAN), NAN),
        (el.logaddexp, (-INF, -INF), -INF),
        (el.logaddexp, (INF, -INF), INF),
        (el.logaddexp, (-INF, 1.0), 1.0),
    ],
)
def test_limits_are_taken_and_the_rest_is_nan(function: Any, arguments: tuple[float, ...], value: float) -> None:
    np.testing.assert_array_equal(function(*arguments), value)


@pytest.mark.parametrize(
    ("function", "arguments", "index", "slope"),
    [
        (el.deviance, (0.0, 3.0), 1, 1.0),
        (el.deviance, (0.0, 0.0), 1, 1.0),
        (el.deviance, (2.0, 2.0), 1, 0.0),
        (el.xlogy, (0.0, 0.0), 1, 0.0),
        (el.xlog1py, (0.0, -1.0), 1, 0.0),
        (el.logaddexp, (-INF, -INF), 0, 0.0),
        (el.logaddexp, (-INF, 0.0), 1, 1.0),
        (el.log1mexp, (INF,), 0, 0.0),
        (el.log1p_minus, (INF,), 0, -1.0),
    ],
)
def test_slopes_at_the_edges_are_finite_forwards_and_backwards(
    function: Any, arguments: tuple[float, ...], index: int, slope: float
) -> None:
    def moving(z: jax.Array) -> jax.Array:
        return function(*arguments[:index], z, *arguments[index + 1 :])

    np.testing.assert_array_equal(jax.grad(moving)(arguments[index]), slope)
    np.testing.assert_array_equal(jax.jvp(moving, (arguments[index],), (1.0,))[1], slope)


def test_second_derivatives_are_those_of_the_slopes() -> None:
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.hessian(el.deviance, (0, 1))(3.0, 2.0), [[1 / 3, -1 / 2], [-1 / 2, 3 / 4]])
        np.testing.assert_allclose(jax.grad(jax.grad(el.log1p_minus))(0.5), -1 / 1.5**2)
        np.testing.assert_allclose(jax.grad(jax.grad(el.expm1_minus))(0.5), np.exp(0.5))
        np.testing.assert_allclose(jax.grad(jax.grad(el.log1mexp))(800.0), 0.0, atol=1e-300)
        np.testing.assert_allclose(jax.grad(jax.grad(el.logaddexp))(0.0, 0.0), 0.25)


def test_results_have_the_dtype_of_their_arguments() -> None:
    half, single = jnp.ones(3, jnp.bfloat16), jnp.ones(3, jnp.float32)
    assert el.deviance(single, 2.0).dtype == jnp.float32
    assert el.deviance(jnp.arange(3), 2).dtype == jnp.float32
    assert el.log1p_minus(half).dtype == jnp.float32
    with jax.enable_x64(True):
        assert el.deviance(single, 2.0).dtype == jnp.float32
        assert el.deviance(single, np.ones(3)).dtype == jnp.float64


def test_arguments_broadcast_and_have_names() -> None:
    x = jnp.array([0.0, 1.0, 2.0])
    np.testing.assert_array_equal(el.deviance(x=x, mu=2.0), jax.vmap(el.deviance, (0, None))(x, 2.0))
    np.testing.assert_allclose(jax.grad(lambda mu: jnp.sum(el.deviance(x, mu)))(2.0), 1.5)


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=6), st.floats(-100, 100, width=32))
def test_logsumexp_moves_with_its_terms(values: list[float], shift: float) -> None:
    x = jnp.asarray(values, jnp.float32)
    np.testing.assert_allclose(el.logsumexp(x + shift), el.logsumexp(x) + shift, rtol=2e-6, atol=2e-5)


def test_logsumexp_of_impossible_terms_has_no_gradient_and_no_nan() -> None:
    impossible = jnp.full((2, 3), -jnp.inf).at[1].set(jnp.array([0.0, -jnp.inf, 0.0]))
    np.testing.assert_allclose(el.logsumexp(impossible, axis=1), [-INF, np.log(2)], rtol=1e-6)
    _, pull = jax.vjp(lambda x: el.logsumexp(x, axis=1), impossible)
    np.testing.assert_allclose(pull(jnp.ones(2))[0], [[0, 0, 0], [0.5, 0, 0.5]])
    assert el.logsumexp(jnp.array([1.0, INF])) == INF


def test_logsumexp_weights_are_multiplicities() -> None:
    x, w = jnp.array([[0.3, -1.0, 2.0]]), jnp.array([[2.0, 0.0, 3.0]])
    want = np.log(2 * np.exp(0.3) + 3 * np.exp(2.0))
    out = el.logsumexp(x, axis=1, keepdims=True, weights=w)
    assert out.shape == (1, 1)
    np.testing.assert_allclose(out[0, 0], want, rtol=1e-6)
    # A term of weight 0 adds nothing, however large, and keeps its derivative in the weight.
    assert np.isclose(el.logsumexp(x.at[0, 1].set(INF), weights=w), want)
    slope = jax.grad(lambda w: el.logsumexp(x, weights=w))(w)
    np.testing.assert_allclose(slope, np.exp(np.asarray(x) - want), rtol=1e-5)
    assert np.isfinite(jax.grad(lambda w: el.logsumexp(x.at[0, 1].set(INF), weights=w))(w)).all()
    assert el.logsumexp(x, weights=jnp.zeros((1, 3))) == -INF
    assert np.isnan(el.logsumexp(x, weights=-w))


def test_softmin_gives_the_probabilities_of_surprises() -> None:
    surprise = jnp.array([[0.0, jnp.log(3.0), INF], [INF, INF, INF]])
    np.testing.assert_allclose(el.softmin(surprise)[0], [0.75, 0.25, 0.0], rtol=1e-6)
    assert np.isnan(el.softmin(surprise)[1]).all()
    np.testing.assert_allclose(el.softmin(surprise[0] + 1e3), [0.75, 0.25, 0.0], rtol=1e-4)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a property of XLA's CPU backend")
@pytest.mark.parametrize("function", [el.log1p_minus, el.expm1_minus, el.deviance, el.log_ratio])
def test_a_sum_is_one_kernel(function: Any) -> None:
    """No more than one array of temporaries: what is computed elementwise is not spread over several loops."""
    x = jnp.ones(100_000)
    arguments = (x,) * (2 if function in (el.deviance, el.log_ratio) else 1)
    compiled = jax.jit(lambda *a: jnp.sum(function(*a))).lower(*arguments).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= 1.05 * x.nbytes


@pytest.mark.parametrize("dtype", DTYPES)
def test_product_minus_is_rounded_once(dtype: type) -> None:
    rng = np.random.default_rng(4)
    with jax.enable_x64(dtype is np.float64), mp.workdps(60):
        x, y = (jnp.asarray(10 ** rng.uniform(-3, 6, 500), dtype) for _ in range(2))
        z = jnp.asarray(np.asarray(x * y) * (1 + 4 * np.finfo(dtype).eps * rng.integers(-9, 9, 500)), dtype)
        got = np.asarray(jax.jit(el.product_minus)(x, y, z))
        for g, a, b, c in zip(got, *(np.asarray(v, float) for v in (x, y, z))):
            truth = mp.mpf(a) * mp.mpf(b) - mp.mpf(c)
            scale = abs(truth) + mp.mpf(float(np.finfo(dtype).eps)) * 2 ** (-9 if dtype is np.float32 else -24) * a * b
            assert abs(mp.mpf(float(g)) - truth) <= 2 * float(np.finfo(dtype).eps) * scale
        assert float(jax.jit(el.product_minus)(jnp.float32(3e38), jnp.float32(10.0), jnp.float32(1.0))) > 1e38


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_of_two_are_exact(dtype):
    info = np.finfo(dtype)
    k = np.arange(info.minexp + 1, info.maxexp - 1)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(el.power_of_two(k, dtype), np.ldexp(dtype(1.0), k))


def test_powers_of_two_in_float64_within_a_program_of_float32():
    """Which is compiled while JAX is told float32."""

    def wide(k):
        with jax.enable_x64(True):
            return el.power_of_two(k, np.float64) * np.float64(1.0 + 2.0**-40)

    with jax.enable_x64(False):
        assert np.asarray(jax.jit(wide)(np.int32(60))) == 2.0**60 * (1.0 + 2.0**-40)


def test_argmax_is_numpys():
    x = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.float32)
    x[0, 0, 3] = NAN
    for axis in (0, 1, -1):
        np.testing.assert_array_equal(el.argmax(x, axis), np.argmax(x, axis))
        np.testing.assert_array_equal(el.argmax(x, axis, keepdims=True), np.argmax(x, axis, keepdims=True))
