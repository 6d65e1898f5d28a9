"""Entropy and mutual information from samples: definitions by brute force, averages over all samples, coverage of intervals."""

import itertools
import math

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.special as sp
from scipy.spatial import cKDTree

from surprax import information as info
from surprax.information.neighbours import _balanced_halves

METHODS = ("plug-in", "miller-madow", "grassberger")
COUNTS = np.array([7, 4, 1, 1, 0, 12, 2])


def grassberger(k):
    """G(1) = −γ − log 2, G(2) = 2 − γ − log 2, G(2j + 1) = G(2j), G(2j + 2) = G(2j) + 2/(2j + 1)."""
    even = 2 - np.euler_gamma - math.log(2)
    if k == 1:
        return -np.euler_gamma - math.log(2)
    return even + sum(2 / (2 * j + 1) for j in range(1, k // 2))


def test_methods_by_their_definitions():
    n = COUNTS.sum()
    p = COUNTS[COUNTS > 0] / n
    plug_in = -np.sum(p * np.log(p))
    expected = {
        "plug-in": plug_in,
        "miller-madow": plug_in + 5 / (2 * n),
        "grassberger": math.log(n) - sum(k * grassberger(k) for k in COUNTS if k) / n,
    }
    for method in METHODS:
        e = info.entropy_estimate(COUNTS, method)
        np.testing.assert_allclose(e.value, expected[method], rtol=1e-13)
        taken = 5 / (2 * n) if method == "plug-in" else expected[method] - plug_in
        np.testing.assert_allclose(e.bias, -taken, rtol=1e-12)
        z = 1.959963984540054
        deviation = math.sqrt(np.sum(p * (np.log(p) + plug_in) ** 2) / n + 5 / (2 * n**2))
        np.testing.assert_allclose(e.interval, [e.value - z * deviation, e.value + z * deviation], rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_average_over_all_samples(method):
    """Exactly, over all outcomes of 12 draws from (.5, .3, .2): the better methods are less biased."""
    p, n = np.array([0.5, 0.3, 0.2]), 12
    counts = np.array([(i, j, n - i - j) for i, j in itertools.product(range(n + 1), repeat=2) if i + j <= n])
    weight = np.exp(sp.gammaln(n + 1) - sp.gammaln(counts + 1).sum(1) + counts @ np.log(p))
    off = weight @ info.entropy_estimate(counts, method).value - info.entropy(p)
    # Grassberger's is for Poisson counts; of a fixed number, log n exceeds the unbiased ψ(n) by about 1/(2n).
    about = {"plug-in": -2 / (2 * n), "miller-madow": 0.0, "grassberger": math.log(n) - sp.digamma(n)}[method]
    assert abs(off - about) < {"plug-in": 0.02, "miller-madow": 0.02, "grassberger": 1e-3}[method]


@pytest.mark.parametrize("method", METHODS)
def test_intervals_cover(method):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(8))
    e = info.entropy_estimate(rng.multinomial(300, p, size=2000), method)
    covered = np.mean((e.interval[0] <= info.entropy(p)) & (info.entropy(p) <= e.interval[1]))
    assert 0.92 < covered < 0.98
    flat = info.entropy_estimate(rng.multinomial(300, np.full(8, 0.125), size=2000), method)
    covered = np.mean((flat.interval[0] <= math.log(8)) & (math.log(8) <= flat.interval[1]))
    assert covered > (0.5 if method == "plug-in" else 0.93)


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b", "a", "c"],
        [1, 2, 1, 3],
        np.array([1.5, 0.0, 1.5, -1.0]),
        np.array(["2020-01-01", "2020-01-02", "2020-01-01", "2021-01-01"], "M8[D]"),
        np.array(["a", 1, "a", (1, 2)], object),
        [1 + 1j, 1 - 1j, 1 + 1j, 1.0],
        [True, 0, True, 2.5],
    ],
)
def test_labels_are_anything_that_can_be_told_apart(labels):
    assert info.entropy_estimate(labels=labels).value == info.entropy_estimate([2, 1, 1]).value


def test_labels_units_batches():
    labels = list("abracadabra")
    by_label, by_count = (
        info.entropy_estimate(labels=labels, unit="bit"),
        info.entropy_estimate([5, 2, 2, 1, 1, 0], unit="bit"),
    )
    np.testing.assert_allclose(by_label.value, by_count.value, rtol=1e-14)
    np.testing.assert_allclose(by_label.interval, by_count.interval, rtol=1e-14)
    np.testing.assert_allclose(
        info.entropy_estimate(COUNTS, unit="bit").value * math.log(2), info.entropy_estimate(COUNTS).value
    )
    batch = info.entropy_estimate(np.stack([COUNTS, COUNTS[::-1] + 1]))
    assert batch.value.shape == (2,)
    np.testing.assert_allclose(batch.value[0], info.entropy_estimate(COUNTS).value, rtol=1e-14)
    one = info.entropy_estimate([9, 0])
    assert (one.value, one.bias, one.interval) == (0.0, 0.0, (0.0, 0.0))
    wide, narrow = (info.entropy_estimate(COUNTS, level=level).interval for level in (0.99, 0.5))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


# Mutual information by nearest neighbours.


def brute(x, y, k):
    """KSG's first estimator, by a tree and by counting."""
    x, y = (v.reshape(len(v), -1) / np.std(v.reshape(len(v), -1), axis=0) for v in (x, y))
    radius = cKDTree(np.hstack([x, y])).query(np.hstack([x, y]), k + 1, p=np.inf)[0][:, k]
    near = [np.array([np.sum(np.max(np.abs(v - v[i]), axis=1) < radius[i]) - 1 for i in range(len(v))]) for v in (x, y)]
    return sp.digamma(k) + sp.digamma(len(x)) - np.mean(sp.digamma(near[0] + 1) + sp.digamma(near[1] + 1))


@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("dimensions", [(1, 1), (2, 1), (1, 3)])
def test_neighbours_by_brute_force(k, dimensions):
    rng = np.random.default_rng(k)
    x, y = rng.normal(size=(400, dimensions[0])), rng.normal(size=(400, dimensions[1]))
    y = y + x[:, :1]
    np.testing.assert_allclose(info.mutual_information_estimate(x, y, k).value, brute(x, y, k), rtol=1e-12)
    np.testing.assert_allclose(info.mutual_information_estimate(y, x, k).value, brute(x, y, k), rtol=1e-12)


def test_neighbours_on_a_lattice_with_ties_of_distance():
    rng = np.random.default_rng(5)
    x, y = rng.permutation(300) * 0.1, rng.permutation(300) * 0.1
    np.testing.assert_allclose(info.mutual_information_estimate(x, y).value, brute(x, y, 3), rtol=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_gaussian_mutual_information_lies_in_the_interval(correlation):
    rng = np.random.default_rng(11)
    x = rng.normal(size=2000)
    y = correlation * x + math.sqrt(1 - correlation**2) * rng.normal(size=2000)
    e = info.mutual_information_estimate(x, y, unit="bit")
    truth = -0.5 * math.log2(1 - correlation**2)
    assert e.interval[0] <= truth <= e.interval[1]
    assert e.interval[1] - e.interval[0] < 0.25
    assert abs(e.bias) < 0.05


@pytest.mark.parametrize("correlation", [0.0, pytest.param(0.6, marks=pytest.mark.thorough), 0.9])
def test_intervals_of_neighbours_cover(correlation):
    """95 % within what 200 samples can tell; intervals from parts of 50 pairs, which vary too little, covered 88 to 91 %."""
    rng = np.random.default_rng(3)
    truth, rest = -0.5 * math.log(1 - correlation**2), math.sqrt(1 - correlation**2)
    covered = 0
    for _ in range(200):
        x = rng.normal(size=400)
        e = info.mutual_information_estimate(x, correlation * x + rest * rng.normal(size=400))
        covered += e.interval[0] <= truth <= e.interval[1]
    assert covered >= 182


def test_halves_are_balanced():
    halves = np.array(_balanced_halves(64))
    assert np.all(halves.sum(1) == 32)
    together = np.sum(halves[:, :8, None] == halves[:, None, :8], axis=0)
    np.testing.assert_array_equal(together, 3 + 4 * np.eye(8))


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e307])
def test_extreme_scales_do_not_matter(scale):
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 2))
    y = x[:, 0] + rng.normal(size=200)
    plain = info.mutual_information_estimate(x, y).value
    np.testing.assert_allclose(info.mutual_information_estimate(scale * x, y).value, plain, rtol=1e-12)
    np.testing.assert_allclose(info.mutual_information_estimate(x, scale * y).value, plain, rtol=1e-12)


def test_units_do_not_matter_and_monotone_changes_little():
    rng = np.random.default_rng(4)
    x = rng.normal(size=1500)
    y = 0.8 * x + 0.6 * rng.normal(size=1500)
    plain = info.mutual_information_estimate(x, y).value
    np.testing.assert_allclose(info.mutual_information_estimate(x, 1024.0 * y + 3.0).value, plain, rtol=1e-9)
    np.testing.assert_allclose(info.mutual_information_estimate(np.exp(0.5 * x), y).value, plain, atol=0.05)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: info.entropy_estimate([1, 2], "chao"), "one of plug-in, miller-madow, grassberger; got 'chao'"),
        (lambda: info.entropy_estimate([0.5, 0.5]), "whole number ≥ 0; got 0.5 at index 0"),
        (lambda: info.entropy_estimate([[1, -1]]), r"got -1 at index \(0, 1\)"),
        (lambda: info.entropy_estimate([0, 0]), "at least one observation"),
        (lambda: info.entropy_estimate(3), "got a single number"),
        (lambda: info.entropy_estimate(), "one of them; got neither"),
        (lambda: info.entropy_estimate(labels=[[1, 2]]), "along one axis"),
        (lambda: info.entropy_estimate(labels=[1.0, math.nan]), "got nan at index 1"),
        (lambda: info.entropy_estimate(labels=["a", None, "b"]), "A label is known; got None at index 1"),
        (lambda: info.entropy_estimate(labels=["a", math.nan]), "A label is known; got nan at index 1"),
        (lambda: info.entropy_estimate(labels=np.array([1, None], object)), "A label is known; got None at index 1"),
        (lambda: info.entropy_estimate(labels=np.array(["2020-01-01", "NaT"], "M8[D]")), "got NaT at index 1"),
        (lambda: info.entropy_estimate(labels=pd.array([1, None], "Int64")), "A label is known; got .* at index 1"),
        (lambda: info.entropy_estimate([1, 2j]), "Counts are real numbers; got complex ones"),
        (lambda: info.entropy_estimate([1, None]), "Counts are numbers; got None at index 1"),
        (lambda: info.entropy_estimate([1, 2], level=95), "between 0 and 1; got 95"),
        (lambda: info.entropy_estimate([1, 2], unit="bits"), "Did you mean 'bit'"),
        (lambda: jax.jit(lambda n: info.entropy_estimate(n).value)(COUNTS), "got traced ones"),
        (lambda: info.mutual_information_estimate(np.zeros(100), np.zeros(100)), "occurs more than 3 times"),
        (lambda: info.mutual_information_estimate(np.arange(9.0), np.arange(9.0)), "at least 40 pairs; got 9"),
        (lambda: info.mutual_information_estimate(np.arange(50.0), np.arange(49.0)), "got 50 of `x` and 49 of `y`"),
        (lambda: info.mutual_information_estimate([1.0, math.nan], [1.0, 2.0]), "got nan in `x` at index 1"),
        (lambda: info.mutual_information_estimate(np.arange(50.0), np.arange(50.0), 0), "at least 1; got 0"),
        (
            lambda: info.mutual_information_estimate(np.arange(50.0), np.arange(50.0), method="kde"),
            "by 'ksg'; got 'kde'",
        ),
        (lambda: info.mutual_information_estimate(np.zeros((500, 0)), np.zeros(500)), r"got shape \(500, 0\) as `x`"),
        (lambda: info.mutual_information_estimate(np.ones(50), np.ones(50) * 1j), "Observations are real numbers"),
        (lambda: info.mutual_information_estimate(np.zeros((2, 2, 2)), [1.0, 2.0]), r"got \(2, 2, 2\) as `x`"),
    ],
)
def test_errors_are_sentences(call, words):
    with pytest.raises(ValueError, match=words):
        call()
