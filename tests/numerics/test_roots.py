"""The batched solvers: roots, outcomes, hard brackets, transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.scipy.special import ndtr, ndtri

from surprax.numerics.elementary import with_derivatives
from surprax.numerics.roots import bracketed, newton, smallest_integer

INF = float("inf")
DTYPES = (jnp.float32, jnp.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_solvers_invert_the_logarithm_over_all_magnitudes(dtype: type) -> None:
    with jax.enable_x64(dtype is jnp.float64):
        y = jnp.asarray(np.array([-80.0, -50, -3, -0.1, 0, 1e-5, 1, 10, 80]), dtype)
        for root, converged in (
            jax.jit(lambda y: bracketed(lambda x: jnp.log(x) - y, 0.0, INF))(y),
            jax.jit(lambda y: newton(lambda x: (jnp.log(x) - y, 1 / x), 1.0, 0.0, INF))(y),
        ):
            assert root.dtype == dtype
            assert converged.all()
            # One unit of y is the resolution of log x.
            np.testing.assert_allclose(jnp.log(root), y, rtol=4 * jnp.finfo(dtype).eps, atol=4 * jnp.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_quantiles_of_the_normal_between_infinite_ends(dtype: type) -> None:
    with jax.enable_x64(dtype is jnp.float64):
        p = jnp.linspace(jnp.asarray(0.01, dtype), 0.99, 40)
        root, converged = jax.jit(lambda p: bracketed(lambda x: ndtr(x) - p, -INF, INF))(p)
        assert converged.all()
        np.testing.assert_allclose(root, ndtri(p), rtol=0, atol=30 * jnp.finfo(dtype).eps)


def test_a_jump_is_found_by_both() -> None:
    step = lambda x: jnp.where(x < 3.3, -1.0, 1.0)
    for root, converged in (bracketed(step, -1e30, 1e30), newton(lambda x: (step(x), 0 * x), 1.0, -1e30, 1e30)):
        assert converged
        np.testing.assert_allclose(root, 3.3, rtol=3e-7)


def test_newton_survives_where_it_diverges_alone() -> None:
    # From the cube root, Newton's step is −2 times the error: only bisection helps.
    root, converged = newton(lambda x: (jnp.cbrt(x - 3.0), jnp.cbrt(x - 3.0) ** -2 / 3), -100.0, -1e3, 1e6)
    assert converged
    np.testing.assert_allclose(root, 3.0, rtol=1e-6)


def test_flat_multiple_root() -> None:
    root, converged = newton(lambda x: (x**3, 3 * x**2), 50.0, -1.0, 100.0)
    assert converged
    assert abs(root) < 1e-10


def test_an_outcome_says_when_there_is_no_root() -> None:
    root, converged = bracketed(lambda x: x + jnp.array([1.0, -0.5, jnp.nan]), 0.0, 1.0)
    np.testing.assert_array_equal(converged, [False, True, False])
    np.testing.assert_array_equal(root, [np.nan, 0.5, np.nan])
    _, converged = newton(lambda x: (x * jnp.nan, x), 0.5, 0.0, 1.0)
    assert not converged
    _, converged = bracketed(lambda x: jnp.exp(x) - 2.0, -1e30, 1e30, steps=3)
    assert not converged


def test_a_batch_is_its_members_one_by_one() -> None:
    t = jnp.arange(1.0, 6.0)
    whole = bracketed(lambda x: x**3 - t, 0.0, 100.0)[0]
    mapped = jax.jit(jax.vmap(lambda t: bracketed(lambda x: x**3 - t, 0.0, 100.0)[0]))(t)
    np.testing.assert_allclose(whole, jnp.cbrt(t), rtol=3e-7)
    np.testing.assert_allclose(mapped, jnp.cbrt(t), rtol=3e-7)
    mapped = jax.jit(jax.vmap(lambda t: newton(lambda x: (x**3 - t, 3 * x**2), 50.0, 0.0, 100.0)[0]))(t)
    np.testing.assert_allclose(mapped, jnp.cbrt(t), rtol=3e-7)


def test_derivatives_by_the_implicit_function_theorem() -> None:
    @with_derivatives(lambda t: 1 / (3 * cube_root(t) ** 2))
    def cube_root(t: jax.Array) -> jax.Array:
        return bracketed(lambda x: x**3 - t, 0.0, 100.0)[0]

    np.testing.assert_allclose(jax.grad(cube_root)(8.0), 1 / 12, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(jax.grad(cube_root))(8.0), -1 / 144, rtol=1e-6)


@given(st.integers(-1000, 1000), st.integers(0, 2000), st.integers(-1200, 3200), st.integers(-1500, 3500))
def test_smallest_integer_is_the_first_true(lower: int, size: int, threshold: int, guess: int) -> None:
    upper = lower + size
    found = threshold <= upper
    want = max(threshold, lower) if found else upper
    for start in (None, jnp.array(guess)):
        root, converged = first_above(jnp.array(threshold), jnp.array(lower), jnp.array(upper), start)
        assert (int(root), bool(converged)) == (want, found)


@jax.jit
def first_above(threshold: jax.Array, lower: jax.Array, upper: jax.Array, guess: jax.Array | None) -> tuple:
    return smallest_integer(lambda k: k >= threshold, lower, upper, guess)


def test_smallest_integer_is_exact_beyond_float32() -> None:
    want = jnp.array([0, 1, 5, 1000, 123_456_789, 1_999_999_999, 2_000_000_000])
    for guess in (None, 7, want + jnp.array([0, 5, -3, 40, 1000, -50, 0])):
        root, converged = smallest_integer(lambda k: k >= want, 0, 2_000_000_000, guess)
        np.testing.assert_array_equal(root, want)
        assert converged.all()
    smallest, largest = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    for guess in (None, largest, smallest, 0):
        assert smallest_integer(lambda k: k >= -5, smallest, largest, guess)[0] == -5


def test_a_good_guess_saves_evaluations() -> None:
    evaluations = []

    def counted(guess: int | None) -> int:
        evaluations.clear()

        def predicate(k: jax.Array) -> jax.Array:
            jax.debug.callback(lambda: evaluations.append(1))
            return k >= 1_000_000

        smallest_integer(predicate, 0, 2_000_000_000, guess)[0].block_until_ready()
        jax.effects_barrier()
        return len(evaluations)

    assert counted(1_000_020) < counted(None) / 2


def test_bounds_that_are_not_integers_are_refused_in_words() -> None:
    with pytest.raises(TypeError, match="must be integers, but one has dtype float32"):
        smallest_integer(lambda k: k >= 3, 0, 10.0)
