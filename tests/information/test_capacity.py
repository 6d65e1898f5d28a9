"""Capacities of channels: closed forms, the certificate against a dual bound, batches and derivatives."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surprax import information as info


def h(x):
    return -(x * np.log2(x) + (1 - x) * np.log2(1 - x)) if 0 < x < 1 else 0.0


CLOSED = {
    "binary symmetric": ([[0.89, 0.11], [0.11, 0.89]], 1 - h(0.11)),
    "binary erasure": ([[0.7, 0.3, 0.0], [0.0, 0.3, 0.7]], 0.7),
    "Z": ([[1.0, 0.0], [0.3, 0.7]], math.log2(1 + 0.7 * 0.3 ** (0.3 / 0.7))),
    "noiseless": (np.eye(5), math.log2(5)),
    "useless": ([[0.2, 0.8], [0.2, 0.8]], 0.0),
    "noisy typewriter": (0.5 * (np.eye(6) + np.roll(np.eye(6), 1, axis=1)), math.log2(3)),
    "one input": ([[0.2, 0.8]], 0.0),
    "an input too many": ([[1.0, 0.0], [0.3, 0.7], [0.6, 0.4]], math.log2(1 + 0.7 * 0.3 ** (0.3 / 0.7))),
    "inverse": ([[0.6, 0.4], [0.2, 0.8]], None),
}


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("how", ["p", "log"])
def test_closed_forms(name, how):
    channel, expected = CLOSED[name]
    channel = np.array(channel)
    if expected is None:
        # Of a channel that can be inverted, log Σ exp(−(P⁻¹ H)(y)), if all inputs are used (Muroga 1953).
        rows = np.array([h(row[0]) for row in channel]) * math.log(2)
        expected = np.log(np.sum(np.exp(-np.linalg.solve(channel, rows)))) / math.log(2)
    with np.errstate(divide="ignore"):
        c = (
            info.channel_capacity(channel, "bit")
            if how == "p"
            else info.channel_capacity(None, "bit", log_channel=np.log(channel))
        )
    assert c.converged
    assert c.gap <= 1e-9 / math.log(2)
    assert expected - c.gap - 1e-14 <= c.capacity <= expected + 1e-14
    np.testing.assert_allclose(np.sum(c.input_distribution), 1.0, rtol=1e-13)


def test_capacity_is_attained_and_not_surpassed():
    rng = np.random.default_rng(0)
    channels = rng.dirichlet(np.full(4, 0.5), (6, 5))
    c = info.channel_capacity(channels)
    assert c.capacity.shape == (6,)
    assert np.all(c.converged)
    np.testing.assert_allclose(
        info.mutual_information(c.input_distribution[..., None] * channels), c.capacity, rtol=1e-11
    )
    inputs = rng.dirichlet(np.ones(5), (500, 1))
    assert np.all(info.mutual_information(inputs[..., None] * channels) <= c.capacity + c.gap)
    output = np.einsum("bx,bxy->by", c.input_distribution, channels)
    # min over outputs q of max over x of KL(p(· | x) ‖ q) is the capacity, too.
    np.testing.assert_allclose(np.max(info.kl(channels, output[:, None]), axis=1), c.capacity + c.gap, rtol=1e-12)
    for one, value, gap in zip(channels, c.capacity, c.gap):
        alone = info.channel_capacity(one)
        np.testing.assert_allclose([alone.capacity, alone.gap], [value, gap], rtol=1e-9, atol=1e-13)


def test_an_input_that_only_loses_is_given_up():
    """Its output must stay possible for the divergences to be finite."""
    c = info.channel_capacity([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.4999, 0.4999, 0.0002]], "bit", tolerance=1e-6)
    assert c.converged
    assert c.capacity + c.gap >= 1.0
    assert 0 < c.input_distribution[2] < 0.01


def test_too_few_iterations_are_reported():
    c = info.channel_capacity(CLOSED["Z"][0], max_iterations=2)
    assert not c.converged
    assert "not converged" in str(c)
    assert c.capacity <= CLOSED["Z"][1] * math.log(2) <= c.capacity + c.gap


def test_tracing_and_derivatives():
    """dC/dε = log(ε/(1 − ε)) of a binary symmetric channel."""

    def capacity(e):
        return info.channel_capacity(jnp.stack([jnp.stack([1 - e, e]), jnp.stack([e, 1 - e])]), tolerance=1e-6)

    np.testing.assert_allclose(jax.jit(jax.grad(lambda e: capacity(e).capacity))(0.1), np.log(0.1 / 0.9), rtol=1e-5)
    c = jax.jit(jax.vmap(capacity))(jnp.array([0.1, 0.3]))
    np.testing.assert_allclose(c.capacity, [math.log(2) * (1 - h(e)) for e in (0.1, 0.3)], rtol=1e-5)
    assert c.unit == "nat"
    z = lambda e: (
        info.channel_capacity(jnp.stack([jnp.array([1.0, 0.0]), jnp.stack([e, 1 - e])]), tolerance=1e-5).capacity
    )
    f = lambda e: np.log1p((1 - e) * e ** (e / (1 - e)))
    np.testing.assert_allclose(jax.grad(z)(0.3), (f(0.3 + 1e-6) - f(0.3 - 1e-6)) / 2e-6, rtol=5e-3)
    assert np.isnan(jax.jit(lambda p: info.channel_capacity(p).capacity)(jnp.array([[0.5, 0.6], [0.5, 0.5]])))


def test_report():
    text = str(info.channel_capacity([[0.9, 0.1], [0.1, 0.9]], "bit"))
    assert text.startswith("capacity 0.531004 bit, at most ")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: info.channel_capacity([0.5, 0.5]), "an axis of inputs and one of outputs"),
        (lambda: info.channel_capacity([[0.5, 0.5], [0.5, 0.6]]), "in `channel` sum to 1.1 at index 1"),
        (lambda: info.channel_capacity(), "as `channel` or as `log_channel`"),
        (lambda: info.channel_capacity(np.eye(2), "bits"), "Did you mean 'bit'"),
    ],
)
def test_errors_are_sentences(call, words):
    with pytest.raises(ValueError, match=words):
        call()
