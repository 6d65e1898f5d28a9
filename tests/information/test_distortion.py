"""Rate–distortion points: Bernoulli and uniform sources in closed form, a Gaussian on a grid, ends and straight pieces."""

import math

import jax
import numpy as np
import pytest

from surprax import information as info

HAMMING = 1.0 - np.eye(2)


def h(x):
    return -(x * np.log2(x) + (1 - x) * np.log2(1 - x)) if 0 < x < 1 else 0.0


@pytest.mark.parametrize(
    ("p", "target"), [(0.5, 0.1), (0.3, 0.1), (0.3, 0.29), (0.3, 0.0), (0.1, 1e-3), (0.5, 0.4999), (0.3, 0.3)]
)
def test_bernoulli_source(p, target):
    """H(p) − H(D) up to D = min(p, 1 − p)."""
    r = info.rate_distortion([p, 1 - p], HAMMING, "bit", target=target)
    expected = h(p) - h(target)
    assert r.converged
    assert r.rate - r.gap - 1e-14 <= expected <= r.rate + 1e-13
    assert r.gap <= 1e-9 / math.log(2)
    assert r.distortion == pytest.approx(target, rel=1e-9, abs=1e-15)
    if 0 < target < p:
        assert r.slope == pytest.approx(math.log2((1 - target) / target), rel=1e-4 if target < 0.4 else 0.02)


def test_the_channel_attains_what_is_said():
    rng = np.random.default_rng(0)
    for _ in range(3):
        p, d = rng.dirichlet(np.ones(4)), rng.random((4, 5))
        floor = p @ d.min(axis=1)
        target = floor + 0.4 * (np.min(p @ d) - floor)
        r = info.rate_distortion(p, d, target=target)
        joint = p[:, None] * r.test_channel
        np.testing.assert_allclose(info.mutual_information(joint), r.rate, rtol=1e-10)
        np.testing.assert_allclose(np.sum(joint * d), target, rtol=1e-9)
        np.testing.assert_allclose(r.output_distribution, joint.sum(0), rtol=1e-12)
        assert r.converged
        by_slope = info.rate_distortion(log_p=np.log(p) + 2.0, distortion=d, slope=r.slope)
        np.testing.assert_allclose(
            by_slope.rate + r.slope * by_slope.distortion, r.rate + r.slope * r.distortion, atol=1e-8
        )


def test_random_channels_do_not_beat_it():
    rng = np.random.default_rng(1)
    p, d = np.array([0.2, 0.3, 0.5]), np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
    channels = rng.dirichlet(np.full(3, 0.4), (300, 3))
    rates, distortions = info.mutual_information(p[:, None] * channels), np.sum(p[:, None] * channels * d, axis=(1, 2))
    for target in (0.1, 0.3, 0.5):
        r = info.rate_distortion(p, d, target=target)
        assert np.all(rates[distortions <= target] >= r.rate - r.gap)


@pytest.mark.parametrize("target", [0.05, 0.3, 0.8])
def test_gaussian_on_a_grid(target):
    """½ log(σ²/D), and converged: Blahut's own iterations are at 5e-5 after thousands."""
    x = np.linspace(-6.0, 6.0, 121)
    p = np.exp(-0.5 * x**2)
    r = info.rate_distortion(p / p.sum(), (x[:, None] - x) ** 2, target=target)
    assert r.converged
    np.testing.assert_allclose(r.rate, 0.5 * math.log(1 / target), atol=1e-7)
    np.testing.assert_allclose(r.slope, 1 / (2 * target), rtol=1e-3)


def test_random_sources_converge():
    rng = np.random.default_rng(2)
    for _ in range(40):
        n, m = rng.integers(1, 8, 2)
        p, d = rng.dirichlet(np.full(n, 0.3)), rng.random((n, m)) * 10 ** rng.uniform(-6, 6)
        d = np.hstack([d, d[:, :1]])  # two of the same
        floor, silent = p @ d.min(axis=1), np.min(p @ d)
        target = floor + rng.random() * (silent - floor)
        r = info.rate_distortion(p, d, target=target)
        assert r.converged
        np.testing.assert_allclose(r.distortion, target, rtol=1e-7)


def test_too_few_iterations_are_reported():
    r = info.rate_distortion([0.3, 0.7], HAMMING, slope=2.0, max_iterations=3)
    assert (r.iterations, r.converged) == (3, False)
    best = info.rate_distortion([0.3, 0.7], HAMMING, slope=2.0)
    assert r.rate - r.gap <= best.rate + 2.0 * (best.distortion - r.distortion) <= r.rate + 1e-12


def test_a_straight_piece():
    """A reproduction at distortion 0.3 from all: the curve is a tangent line from there, and channels take turns."""
    d = np.array([[0.0, 1.0, 0.3], [1.0, 0.0, 0.3]])
    rates = [info.rate_distortion([0.5, 0.5], d, "bit", target=t) for t in (0.2, 0.25, 0.29)]
    assert all(r.converged for r in rates)
    slopes = [rates[0].rate / 0.1, rates[1].rate / 0.05, rates[2].rate / 0.01]
    np.testing.assert_allclose(slopes, [rates[0].slope] * 3, rtol=1e-6)
    # The tangent from (0.3, 0) to 1 − H(D): its slope is that of the curve where it touches.
    grid = np.linspace(1e-3, 0.29, 2_000_00)
    best = np.min((1 + (grid * np.log2(grid) + (1 - grid) * np.log2(1 - grid))) / (0.3 - grid))
    assert slopes[0] <= best + 1e-8
    np.testing.assert_allclose(slopes[0], best, rtol=1e-7)


def test_ends():
    uniform, d = np.full(4, 0.25), 1.0 - np.eye(4)
    least = info.rate_distortion(uniform, d, "bit", target=0.0)
    np.testing.assert_allclose([least.rate, least.distortion], [2.0, 0.0], atol=1e-14)
    assert least.slope == np.inf
    assert info.rate_distortion(uniform, d, slope=np.inf).rate == pytest.approx(math.log(4))
    silent = info.rate_distortion(uniform, d, target=5.0)
    assert (silent.rate, silent.gap, silent.slope) == (0.0, 0.0, 0.0)
    assert silent.distortion == 0.75
    assert info.rate_distortion(uniform, d, slope=0.0).rate == pytest.approx(0.0, abs=1e-15)
    shifted = info.rate_distortion(uniform, d + 3.0, "bit", target=3.1)
    plain = info.rate_distortion(uniform, d, "bit", target=0.1)
    np.testing.assert_allclose(plain.rate, 2 - h(0.1) - 0.1 * math.log2(3), atol=1e-9)
    np.testing.assert_allclose(shifted.rate, plain.rate, atol=1e-8)
    never = info.rate_distortion([0.5, 0.5, 0.0], 1.0 - np.eye(3), "bit", target=0.1)
    np.testing.assert_allclose(never.rate, 1 - h(0.1), atol=1e-8)
    assert "rate 1.3725" in str(plain)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: info.rate_distortion([0.5, 0.5], HAMMING), "one of them; got neither"),
        (lambda: info.rate_distortion([0.5, 0.5], HAMMING, target=0.1, slope=1.0), "one of them; got both"),
        (lambda: info.rate_distortion([0.5, 0.5], HAMMING + 1.0, target=0.9), "can have is 1; got a target of 0.9"),
        (lambda: info.rate_distortion([0.5, 0.5], HAMMING, target=math.nan), "got a target of nan"),
        (lambda: info.rate_distortion([0.5, 0.5], HAMMING, slope=-1.0), "at least 0; got -1"),
        (lambda: info.rate_distortion([0.5, 0.5], np.eye(3), target=0.1), r"each of 2 symbols .* got shape \(3, 3\)"),
        (
            lambda: info.rate_distortion([0.5, 0.5], [[0.0, np.inf], [1.0, 0.0]], target=0.1),
            r"got inf at index \(0, 1\)",
        ),
        (lambda: info.rate_distortion(np.full((2, 2), 0.5), HAMMING, target=0.1), "One source"),
        (lambda: info.rate_distortion([0.5, 0.6], HAMMING, target=0.1), "sum to 1.1"),
        (lambda: jax.jit(lambda t: info.rate_distortion([0.5, 0.5], HAMMING, target=t))(0.1), "outside of jit"),
    ],
)
def test_errors_are_sentences(call, words):
    with pytest.raises(ValueError, match=words):
        call()
