"""f-divergences and Jensen–Shannon: their defining sums in mpmath, generators, inequalities, zeros and gradients."""

import functools
import math
from typing import get_args

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.spatial.distance import jensenshannon

import surprax as sx
from surprax import information as info
from surprax.information.divergences import Generator

NAMES = get_args(Generator.__value__)
P = np.array([0.5, 0.3, 0.2, 0.0])
Q = np.array([0.2, 0.25, 0.5, 0.05])
PROBABILITIES = some.lists(some.floats(1e-6, 1.0), min_size=4, max_size=4).map(lambda v: np.array(v) / np.sum(v))
GENERATORS = {
    "kl": lambda t: t * mp.log(t) if t else 0,
    "reverse-kl": lambda t: -mp.log(t) if t else mp.inf,
    "chi2": lambda t: (t - 1) ** 2,
    "neyman": lambda t: (t - 1) ** 2 / t if t else mp.inf,
    "hellinger": lambda t: (mp.sqrt(t) - 1) ** 2 / 2,
    "total-variation": lambda t: abs(t - 1) / 2,
    "jensen-shannon": lambda t: (t * mp.log(2 * t / (1 + t)) if t else 0) / 2 + mp.log(2 / (1 + t)) / 2,
    "le-cam": lambda t: (t - 1) ** 2 / (2 * t + 2),
}
TRACEABLE = {
    "kl": (lambda t: jnp.where(t == 0, 0.0, t * jnp.log(jnp.where(t == 0, 1.0, t))), math.inf),
    "reverse-kl": (lambda t: -jnp.log(t), 0.0),
    "chi2": (lambda t: (t - 1) ** 2, math.inf),
    "total-variation": (lambda t: jnp.abs(t - 1) / 2, 0.5),
    "hellinger": (lambda t: (jnp.sqrt(t) - 1) ** 2 / 2, 0.5),
    "le-cam": (lambda t: (t - 1) ** 2 / (2 * t + 2), 0.5),
}


@pytest.mark.parametrize("name", NAMES)
@given(p=PROBABILITIES, q=PROBABILITIES)
def test_named_divergences_are_the_sums_of_their_generators(name, p, q):
    f = GENERATORS[name]
    a, b = ([mp.mpf(float(v)) for v in t] for t in (p, q))
    a, b = ([v / mp.fsum(t) for v in t] for t in (a, b))
    expected = float(mp.fsum(w * f(v / w) for v, w in zip(a, b)))
    np.testing.assert_allclose(info.f_divergence(p, q, name), expected, rtol=1e-9, atol=1e-18)
    np.testing.assert_allclose(
        info.f_divergence(log_p=np.log(p) - 3.0, log_q=np.log(q), f=name), expected, rtol=1e-9, atol=1e-15
    )


@pytest.mark.parametrize("name", NAMES)
def test_zeros(name):
    expected = {"reverse-kl": math.inf, "neyman": math.inf}
    with np.errstate(divide="ignore"):
        for p, q in ((P, Q), (Q, P)):
            lost = {"kl": math.inf, "chi2": math.inf} if p is Q else expected
            by_p = info.f_divergence(p, q, name)
            assert (by_p == np.inf) == (name in lost)
            np.testing.assert_allclose(info.f_divergence(log_p=np.log(p), log_q=np.log(q), f=name), by_p, rtol=1e-13)
            np.testing.assert_allclose(info.f_divergence(p, log_q=np.log(q), f=name), by_p, rtol=1e-13)
    assert info.f_divergence(P, P, name) == 0
    apart = {"hellinger": 1.0, "total-variation": 1.0, "jensen-shannon": math.log(2), "le-cam": 1.0}
    np.testing.assert_allclose(info.f_divergence([1.0, 0.0], [0.0, 1.0], name), apart.get(name, math.inf), rtol=1e-15)


@pytest.mark.parametrize("name", TRACEABLE)
def test_functions_are_the_named_ones(name):
    f, slope = TRACEABLE[name]
    for p, q in ((P, Q), (Q, P), (Q, Q)):
        expected = info.f_divergence(p, q, name)
        np.testing.assert_allclose(
            info.f_divergence(p, q, f, slope_at_infinity=slope), expected, rtol=1e-12, atol=1e-16
        )
        with np.errstate(divide="ignore"):
            logs = {"log_p": np.log(p), "log_q": np.log(q)}
        np.testing.assert_allclose(
            info.f_divergence(**logs, f=f, slope_at_infinity=slope), expected, rtol=1e-12, atol=1e-16
        )


@given(PROBABILITIES, PROBABILITIES)
def test_inequalities(p, q):
    d = {name: float(info.f_divergence(p, q, name)) for name in NAMES}
    small = 1e-12
    assert d["total-variation"] <= math.sqrt(d["kl"] / 2) + small  # Pinsker
    assert d["hellinger"] - small <= d["total-variation"] <= math.sqrt(d["hellinger"] * (2 - d["hellinger"])) + small
    assert d["kl"] <= math.log1p(d["chi2"]) + small
    assert d["jensen-shannon"] <= math.log(2) * d["total-variation"] + small
    assert d["le-cam"] <= 2 * d["hellinger"] + small
    assert d["hellinger"] <= d["le-cam"] + small


@pytest.mark.parametrize("name", NAMES)
@given(p=PROBABILITIES, q=PROBABILITIES, rows=some.lists(PROBABILITIES, min_size=4, max_size=4).map(np.array))
def test_data_processing(name, p, q, rows):
    after = info.f_divergence(p @ rows, q @ rows, name)
    assert after <= info.f_divergence(p, q, name) * (1 + 1e-9) + 1e-14


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name):
    """Along the simplex, against differences in float64; finite where both are 0."""
    p, q = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.2, 0.3001, 0.4999, 0.0])
    step = np.array([1.0, -0.4, -0.6, 0.0])
    with jax.enable_x64(True):
        for argument in (0, 1):
            slope = jax.jit(jax.grad(lambda p, q: info.f_divergence(p, q, name), argument))(jnp.array(p), jnp.array(q))
            ends = [
                info.f_divergence(*(v + e * step * (k == argument) for k, v in enumerate((p, q))), name)
                for e in (1e-6, -1e-6)
            ]
            assert np.all(np.isfinite(slope))
            np.testing.assert_allclose(slope @ step, (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-9)
        with np.errstate(divide="ignore"):
            a, b = np.log(p), np.log(q)
        slope = jax.jit(jax.grad(lambda a, b: info.f_divergence(log_p=a, log_q=b, f=name)))(jnp.array(a), jnp.array(b))
        ends = [info.f_divergence(log_p=a + e * step, log_q=b, f=name) for e in (1e-6, -1e-6)]
        np.testing.assert_allclose(slope @ step, (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("slope", [None, math.inf])
def test_gradients_of_functions(slope):
    """f'(p/q) in p, f(p/q) − (p/q) f'(p/q) in q; also at p = 0."""
    of = functools.partial(info.f_divergence, f=lambda t: (t - 1) ** 2, slope_at_infinity=slope)
    q = np.array([0.1, 0.25, 0.65])
    for p in (np.array([0.3, 0.3, 0.4]), np.array([0.4, 0.6, 0.0])):
        a, b, expected = jnp.array(p), jnp.array(q), 2 * (p / q - 1)
        np.testing.assert_allclose(jax.grad(of, 0)(a, b), expected, rtol=1e-5)
        np.testing.assert_allclose(jax.grad(of, 1)(a, b), 1 - (p / q) ** 2, rtol=1e-5)
        np.testing.assert_allclose(jax.grad(of, 0)(a, None, log_q=jnp.log(b)), expected, rtol=1e-5)
        by_log = jax.grad(lambda log_p, q: of(q=q, log_p=log_p))(jnp.log(a), b)
        np.testing.assert_allclose(by_log, p * (expected - p @ expected), rtol=1e-4, atol=1e-6)


def test_gradient_of_a_function_beyond_q():
    p, q = jnp.array([0.3, 0.3, 0.4]), jnp.array([0.5, 0.5, 0.0])
    slope = jax.grad(lambda p: info.f_divergence(p, q, lambda t: jnp.abs(t - 1) / 2, slope_at_infinity=0.5))(p)
    np.testing.assert_allclose(slope, [-0.5, -0.5, 0.5])
    assert np.isnan(jax.jit(lambda p: info.f_divergence(p, q, lambda t: (t - 1) ** 2))(p))


def test_jensen_shannon_is_scipys():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6), 10), rng.dirichlet(np.ones(6), 10)
    np.testing.assert_allclose(info.jensen_shannon(p, q, "bit"), jensenshannon(p, q, base=2, axis=-1) ** 2, rtol=1e-12)
    np.testing.assert_allclose(info.jensen_shannon(p, q), info.f_divergence(p, q, "jensen-shannon"), rtol=1e-13)
    np.testing.assert_allclose(info.jensen_shannon(np.stack([p, q])), info.jensen_shannon(p, q), rtol=1e-13)
    np.testing.assert_allclose(info.jensen_shannon(p, log_q=np.log(q)), info.jensen_shannon(p, q), rtol=1e-12)


@given(some.lists(PROBABILITIES, min_size=3, max_size=3).map(np.array), PROBABILITIES)
def test_jensen_shannon_is_mutual_information_and_a_difference_of_entropies(p, w):
    w = w[:3] / np.sum(w[:3])
    d = info.jensen_shannon(p, weights=w)
    np.testing.assert_allclose(d, info.entropy(w @ p) - w @ info.entropy(p), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(d, info.mutual_information(w[:, None] * p), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(info.jensen_shannon(log_p=np.log(p), weights=w), d, rtol=1e-9, atol=1e-15)
    assert -1e-15 <= d <= info.entropy(w) + 1e-12


def test_jensen_shannon_at_zeros():
    assert info.jensen_shannon([1.0, 0.0], [0.0, 1.0], "bit") == 1
    assert info.jensen_shannon([1.0, 0.0], [0.0, 1.0], "bit", weights=[1e308, 1e308]) == 1
    assert info.jensen_shannon([[1.0, 0.0], [0.0, 1.0]], weights=[1.0, 0.0]) == 0
    assert info.jensen_shannon(log_p=[[0.0, -np.inf], [-np.inf, 0.0]], weights=[1.0, 0.0]) == 0
    slope = jax.jit(jax.grad(lambda p: info.jensen_shannon(p)))(jnp.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]]))
    assert np.all(np.isfinite(slope))
    slope = jax.grad(lambda w: info.jensen_shannon(jnp.array([[1.0, 0.0], [0.0, 1.0]]), weights=w))(
        jnp.array([0.5, 0.5])
    )
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: info.f_divergence(P, Q, "chi"), "Did you mean 'chi2'"),
        (lambda: info.f_divergence(P, Q, "chi2", "bit"), "'chi2' is a plain number"),
        (lambda: info.f_divergence(Q, P, lambda t: (t - 1) ** 2), "by its slope at infinity"),
        (lambda: info.f_divergence(P, Q, "kl", slope_at_infinity=1.0), "belongs to a function"),
        (lambda: info.f_divergence(sx.Normal(0.0, 1.0), sx.Normal(1.0, 1.0)), "got a member of a family"),
        (lambda: info.jensen_shannon(P), "got one. Pass a second as `q`"),
        (lambda: info.jensen_shannon(P, Q, weights=[1.0]), "each of 2 distributions; got weights of shape"),
        (lambda: info.jensen_shannon(P, Q, weights=[1.0, -1.0]), "at least 0"),
        (lambda: info.jensen_shannon(P, Q, weights=[1.0, None]), "Weights are numbers; got None at index 1"),
        (lambda: info.jensen_shannon(np.zeros((0, 2))), "got one of length 0"),
        (lambda: info.jensen_shannon(P, Q[:2] / Q[:2].sum()), "got 4 in `p` and 2 in `q`"),
        (lambda: info.jensen_shannon(sx.Normal(0.0, 1.0), sx.Normal(1.0, 1.0)), "got a member of a family"),
    ],
)
def test_errors_are_sentences(call, words):
    with pytest.raises(ValueError, match=words):
        call()
