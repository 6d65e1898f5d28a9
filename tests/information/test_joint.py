"""What variables tell about each other: brute force over entropies, chain rules, data processing, textbook tables."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from surprax import information as info

JOINTS = (
    some.lists(some.one_of(some.just(0.0), some.floats(1e-3, 1.0)), min_size=12, max_size=12)
    .filter(any)
    .map(lambda v: np.array(v).reshape(2, 3, 2) / np.sum(v))
)
XOR = np.zeros((2, 2, 2))
for x, y in itertools.product(range(2), range(2)):
    XOR[x, y, x ^ y] = 0.25


def h(p, *keep):
    """Entropy of the variables `keep` of a table, by brute force."""
    out = tuple(a for a in range(p.ndim) if a not in keep)
    m = np.sum(p, axis=out)
    return -sum(v * np.log(v) for v in np.ravel(m) if v > 0)


@given(JOINTS)
def test_brute_force(p):
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=3e-15)
    with np.errstate(divide="ignore"):
        log_p = np.log(p) + 5.0
    pair, log_pair = p.sum(2), np.logaddexp.reduce(log_p, axis=2)
    mutual = h(p, 0) + h(p, 1) - h(p, 0, 1)
    conditional = h(p, 0, 2) + h(p, 1, 2) - h(p, 2) - h(p, 0, 1, 2)
    for table in ({"p": pair}, {"log_p": log_pair}):
        close(info.mutual_information(**table), mutual)
    for table in ({"p": p}, {"log_p": log_p}):
        close(info.conditional_mutual_information(**table), conditional)
        close(info.total_correlation(**table), h(p, 0) + h(p, 1) + h(p, 2) - h(p, 0, 1, 2))
        close(info.interaction_information(**table), conditional - mutual)
        close(info.mutual_information(**table, axes=((0, 1), 2)), h(p, 0, 1) + h(p, 2) - h(p, 0, 1, 2))
        # Chain rule: I(X, Y; Z) = I(X; Z) + I(Y; Z | X).
        close(
            info.mutual_information(**table, axes=((0, 1), 2)),
            info.mutual_information(p.sum(1)) + info.conditional_mutual_information(**table, axes=(1, 2), given=0),
        )
        close(info.total_correlation(**table), mutual + info.mutual_information(**table, axes=((0, 1), 2)))


@given(JOINTS, some.lists(some.floats(0.01, 1.0), min_size=6, max_size=6))
def test_data_processing_symmetry_and_bounds(p, weights):
    pair = p.sum(2)
    channel = np.array(weights).reshape(3, 2)
    channel /= channel.sum(axis=1, keepdims=True)
    mutual = info.mutual_information(pair)
    assert info.mutual_information(pair @ channel) <= mutual + 1e-13
    np.testing.assert_allclose(info.mutual_information(pair.T), mutual, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(info.mutual_information(pair, axes=(1, 0)), mutual, rtol=1e-11, atol=1e-15)
    assert -1e-16 <= mutual <= min(h(pair, 0), h(pair, 1)) + 1e-13


def test_textbook_tables():
    joint = [[0.25, 0.25, 0.0], [0.0, 0.25, 0.25]]
    np.testing.assert_allclose(info.mutual_information(joint, unit="bit"), 0.5, rtol=1e-14)
    np.testing.assert_allclose(info.conditional_mutual_information(XOR, unit="bit"), 1.0, rtol=1e-14)
    np.testing.assert_allclose(info.interaction_information(XOR, unit="bit"), 1.0, rtol=1e-14)
    np.testing.assert_allclose(info.total_correlation(XOR, unit="bit"), 1.0, rtol=1e-14)
    copies = np.zeros((2, 2, 2, 2))
    copies[[0, 1], [0, 1], [0, 1], [0, 1]] = 0.5
    np.testing.assert_allclose(info.total_correlation(copies, unit="bit"), 3.0, rtol=1e-14)
    np.testing.assert_allclose(info.interaction_information(copies.sum(3), unit="bit"), -1.0, rtol=1e-14)
    np.testing.assert_allclose(info.interaction_information(copies, unit="bit"), 1.0, rtol=1e-14)
    np.testing.assert_allclose(info.interaction_information(joint, unit="bit"), 0.5, rtol=1e-14)


def test_digits_near_independence():
    """Of p = (1 + ε s(x) s(y))/4, I = ((1 + ε) log(1 + ε) + (1 − ε) log(1 − ε))/2 ≈ ε²/2 + ε⁴/12."""
    for e in (1e-2, 1e-5, 1e-7):
        p = 0.25 * (1 + e * np.array([[1.0, -1.0], [-1.0, 1.0]]))
        np.testing.assert_allclose(info.mutual_information(p), e**2 / 2 + e**4 / 12, rtol=1e-8 + 1e-16 / e)


def test_batches_loops_and_tracing():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(12), 5).reshape(5, 2, 3, 2)
    for function, axes in (
        (info.conditional_mutual_information, {"axes": (1, 2), "given": 3}),
        (info.total_correlation, {"axes": (1, 2, 3)}),
        (info.interaction_information, {"axes": (-3, -2, -1)}),
        (info.mutual_information, {"axes": (1, (2, 3))}),
    ):
        value = function(p, **axes)
        assert value.shape == (5,)
        alone = {name: jax.tree.map(lambda a: a - 1 if a > 0 else a, a) for name, a in axes.items()}
        np.testing.assert_allclose([function(t, **alone) for t in p], value, rtol=1e-12)
        traced = jax.jit(functools.partial(function, **axes))(p)
        np.testing.assert_allclose(traced, value, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            jax.jit(jax.vmap(functools.partial(function, **alone)))(p), value, rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(function(p, **axes, unit="bit") * np.log(2), value, rtol=1e-13)


def test_gradients():
    """In log-weights, against differences; finite at -inf, where the derivative is 0."""
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        log_p = rng.normal(size=(2, 3, 2))
        log_p[0, 0, 0] = -np.inf
        direction = rng.normal(size=log_p.shape)
        for function in (info.conditional_mutual_information, info.total_correlation, info.interaction_information):
            slope = jax.jit(jax.grad(lambda a, f=function: f(log_p=a)))(jnp.array(log_p))
            assert np.all(np.isfinite(slope))
            assert slope[0, 0, 0] == 0
            ends = [function(log_p=log_p + e * direction) for e in (1e-6, -1e-6)]
            np.testing.assert_allclose(np.sum(slope * direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-9)
        p = jnp.array([[0.25, 0.25, 0.0], [0.0, 0.25, 0.25], [0.0, 0.0, 0.0]])
        slope = jax.grad(lambda p: info.mutual_information(p))(p)
        assert np.all(np.isfinite(slope[:2][p[:2] > 0]))
        assert np.all(np.isneginf(slope[:2][p[:2] == 0]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: info.mutual_information(XOR), r"sum to 1; those in `p` sum to 0.5 at index 0\. .*name the axes"),
        (lambda: info.mutual_information(XOR, axes=(0, 1, 2)), "between two variables; got axes="),
        (lambda: info.mutual_information(XOR, axes=(0, 3)), "between -3 and 2; got 3"),
        (lambda: info.mutual_information(XOR, axes=(0, 0)), "Each axis is named once"),
        (lambda: info.total_correlation([0.5, 0.5]), "at least two variables"),
        (lambda: info.conditional_mutual_information(XOR, axes=0), "between two variables"),
        (lambda: info.mutual_information(), "got neither"),
    ],
)
def test_errors_are_sentences(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_axes_are_whole_numbers_of_any_kind():
    p = np.random.default_rng(3).dirichlet(np.ones(12)).reshape(2, 3, 2)
    np.testing.assert_array_equal(info.total_correlation(p, np.array([0, 1, 2])), info.total_correlation(p, (0, 1, 2)))
    np.testing.assert_array_equal(
        info.conditional_mutual_information(p, np.array([0, 1]), given=np.int64(2)),
        info.conditional_mutual_information(p, (0, 1), given=2),
    )
    np.testing.assert_array_equal(
        info.mutual_information(p, (np.array([0, 1]), np.int64(2))), info.mutual_information(p, ((0, 1), 2))
    )
    with pytest.raises(ValueError, match="between two variables; got axes=1"):
        info.mutual_information(p, np.int64(1))
