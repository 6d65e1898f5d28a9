"""P-values as surprise: against SciPy where that has digits, mpmath where it has none, and the figures of textbooks."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given
from hypothesis import strategies as some

import surprax as sx

STUDIES = [0.08, 0.06, 0.11, 0.04]
METHODS = ("fisher", "stouffer", "tippett", "pearson", "harmonic-mean", "cauchy", "e-average", "e-product")


def log_e(p):
    p = mp.mpf(p)
    return mp.log((1 - p + p * mp.log(p)) / (p * mp.log(p) ** 2))


def upper(k, x):
    """log Q(k, x) for whole k."""
    return -x + mp.log(mp.fsum(x**j / mp.factorial(j) for j in range(k)))


def oracle(method, log_p):
    """−log of the combined p-value in nats, with 50 digits."""
    log_p = [mp.mpf(float(v)) for v in log_p]
    p, k = [mp.exp(v) for v in log_p], len(log_p)
    with mp.workdps(1000):
        match method:
            case "fisher":
                return -upper(k, -mp.fsum(log_p))
            case "pearson":
                x = -mp.fsum(mp.log(1 - v) for v in p)
                return -mp.log(mp.gammainc(k, 0, x, regularized=True))
            case "tippett":
                return -mp.log(1 - (1 - min(p)) ** k)
            case "harmonic-mean":
                return mp.log(mp.fsum(1 / v for v in p) / k)
            case "cauchy":
                t = mp.fsum(mp.cot(mp.pi * v) for v in p) / k
                return -mp.log(mp.atan2(1, t) / mp.pi)
            case "e-average":
                return max(mp.mpf(0), mp.log(mp.fsum(mp.exp(log_e(v)) for v in p) / k))
            case "e-product":
                return max(mp.mpf(0), mp.fsum(log_e(v) for v in p))


SETS = {
    "a textbook's": np.log(STUDIES),
    "two of 1e-200": np.full(2, -200 * np.log(10.0)),
    "one of 1e-300 among dull ones": np.array([-300 * np.log(10.0), np.log(0.7), np.log(0.2)]),
    "dull ones": np.log([0.9, 0.6, 0.999, 0.5]),
    "nothing else than 1e-12": np.full(50, np.log(1e-12)),
    "far beyond floating point": np.array([-1e6, -2e6]),
    "one near certainty and one far from it": np.log([1 - 1e-5, 1e-7]),
    "only near certainty": np.array([-1e-10, -1e-30, -1e-12]),
    "one as near certainty as the other is far from it": np.array([np.log1p(-1e-3), np.log(1e-3)]),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("method", [m for m in METHODS if m != "stouffer"])
def test_combined_surprise_is_that_of_fifty_digits(method, name):
    if name == "far beyond floating point" and method not in ("fisher", "harmonic-mean"):
        pytest.skip("p-values that mpmath cannot add to 1 in a thousand digits; see below")
    expected = oracle(method, SETS[name])
    np.testing.assert_allclose(
        sx.combine(log_p=SETS[name], method=method, unit="nat"), float(expected), rtol=2e-13, atol=1e-14
    )


@pytest.mark.parametrize("method", METHODS)
def test_orders_of_magnitude_of_what_cannot_be_written(method):
    """Of p = exp(−10⁶) and exp(−2·10⁶), the combined surprise is near that of the product, or of the lesser one.

    Pearson's is that of the greater one, squared.
    """
    s = float(sx.combine(s=[1e6, 2e6], method=method, unit="nat"))
    least = {"fisher": 3e6, "stouffer": 2.914e6, "e-product": 3e6}.get(method, 2e6)
    assert s == pytest.approx(least, rel=1e-3)


@pytest.mark.parametrize("method", ["fisher", "stouffer", "tippett", "pearson"])
@given(
    p=some.sampled_from([1, 2, 5, 9]).flatmap(  # a few numbers of studies: each is compiled
        lambda n: some.lists(some.floats(1e-12, 0.999), min_size=n, max_size=n)
    )
)
def test_combined_p_value_is_scipys(method, p):
    expected = st.combine_pvalues(p, method=method).pvalue
    np.testing.assert_allclose(np.exp(-sx.combine(p, method, "nat")), expected, rtol=1e-9, atol=1e-300)


def test_stouffers_weights_are_scipys():
    expected = st.combine_pvalues(STUDIES, method="stouffer", weights=[1.0, 2.0, 3.0, 4.0]).pvalue
    got = sx.combine(STUDIES, "stouffer", "nat", weights=[1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(np.exp(-got), expected, rtol=1e-12)


def test_stouffers_far_tail():
    """z of p = 1e-200, √2 times, in mpmath."""
    with mp.workdps(60):
        tail = lambda z: mp.erfc(z / mp.sqrt(2)) / 2
        z = mp.findroot(lambda z: mp.log(tail(z)) + 200 * mp.log(10), 30)
        expected = -mp.log(tail(z * mp.sqrt(2))) / mp.log(2)
    np.testing.assert_allclose(sx.combine([1e-200, 1e-200], "stouffer"), float(expected), rtol=1e-12)


def test_figures_of_textbooks():
    """p = (.08, .06, .11, .04)."""
    p = {method: np.exp(-float(sx.combine(STUDIES, method, "nat"))) for method in METHODS}
    assert p["fisher"] == pytest.approx(0.005864, abs=5e-7)
    assert p["stouffer"] == pytest.approx(0.001496, abs=5e-7)
    assert p["tippett"] == pytest.approx(0.1507, abs=5e-5)
    assert p["harmonic-mean"] == pytest.approx(0.06323, abs=5e-6)
    assert p["cauchy"] == pytest.approx(0.06336, abs=5e-6)
    assert float(sx.combine(STUDIES)) == pytest.approx(7.41, abs=0.005)
    assert float(sx.combine([1e-200, 1e-200])) == pytest.approx(1318.92, abs=0.005)
    assert float(sx.s_value(0.05)) == pytest.approx(4.32, abs=0.005)
    assert float(sx.s_value(st.norm.sf(5.0))) == pytest.approx(21.73, abs=0.005)


def test_fishers_tax():
    """S − ln Σ_{j<k} Sʲ/j!."""
    total = -np.sum(np.log(STUDIES))
    tax = np.log(sum(total**j / float(mp.factorial(j)) for j in range(4)))
    np.testing.assert_allclose(sx.combine(STUDIES, unit="nat"), total - tax, rtol=1e-13)


@pytest.mark.parametrize("method", ["fisher", "stouffer", "tippett", "pearson"])
def test_under_the_hypothesis_the_combined_p_value_is_uniform(method):
    p = np.random.default_rng(0).random((20_000, 5))
    combined = np.exp(-sx.combine(p, method, "nat"))
    assert st.kstest(combined, "uniform").pvalue > 0.001


def test_bets_have_mean_one_under_the_hypothesis():
    """∫₀¹ e(p) dp = ∫₀^∞ e(s) exp(−s) ds = 1, of which the tail is 1/s²: Gauss–Legendre in t = 1/(1 + s)."""
    x, w = np.polynomial.legendre.leggauss(400)
    t = 0.5 * (x + 1.0)
    s = 1.0 / t - 1.0
    np.testing.assert_allclose(0.5 * np.sum(w * np.exp(sx.bet(s, "nat", log=True) - s) / t**2), 1.0, rtol=1e-9)


@given(s=some.floats(1e-6, 700.0))
def test_a_bet_is_its_formula(s):
    with mp.workdps(50):
        s_ = mp.mpf(s)
        expected = s_ - 2 * mp.log(s_) + mp.log(1 - (1 + s_) * mp.exp(-s_))
    np.testing.assert_allclose(sx.bet(s, "nat", log=True), float(expected), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(sx.bet(s, "nat"), float(mp.exp(expected)), rtol=1e-9)


def test_ends():
    assert float(sx.bet(0.0)) == 0.5
    assert float(sx.bet(np.inf)) == np.inf
    assert float(sx.bet(1e5, log=True)) == pytest.approx(99_967.84, abs=0.01)
    for method in METHODS:
        assert float(sx.combine([1.0, 1.0], method)) == 0.0
        for p in ([np.nan, 0.5], [np.nan, 0.0], [np.nan, 1.0]):
            assert np.isnan(sx.combine(p, method))
            assert np.isnan(jax.jit(lambda p, m=method: sx.combine(p, m))(np.array(p)))
        for p in ([1.5, 0.3], [-0.1, 0.3]):
            assert np.isnan(jax.jit(lambda p, m=method: sx.combine(p, m))(np.array(p)))
    for method in ("fisher", "tippett", "harmonic-mean", "cauchy", "stouffer", "e-average", "e-product"):
        assert float(sx.combine([0.0, 0.5], method)) == np.inf
    assert float(sx.s_value(1.0)) == 0.0
    assert float(sx.s_value(0.0)) == np.inf
    assert not np.signbit(sx.s_value(1.0))


@pytest.mark.parametrize("method", METHODS)
def test_one_study_is_itself_or_less(method):
    s = float(sx.combine([0.03], method))
    if method.startswith("e-"):
        assert s < float(sx.s_value(0.03))
    else:
        assert s == pytest.approx(float(sx.s_value(0.03)), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_units_axes_batches_and_jit(method):
    p = np.random.default_rng(1).random((3, 4))
    s = sx.combine(p, method, "nat")
    assert s.shape == (3,)
    assert s.dtype == np.float64
    np.testing.assert_allclose(sx.combine(p.T, method, "nat", axis=0), s, rtol=1e-14)
    np.testing.assert_allclose(sx.combine(p, method, "bit") * np.log(2.0), s, rtol=1e-14)
    np.testing.assert_allclose(
        sx.combine(s=sx.s_value(p, "ban"), method=method, unit="ban") * np.log(10.0), s, rtol=1e-12
    )
    np.testing.assert_allclose([sx.combine(row, method, "nat") for row in p], s, rtol=1e-14)
    traced = jax.jit(lambda p: sx.combine(p, method, "nat"))(p.astype(np.float32))
    np.testing.assert_allclose(traced, s, rtol=3e-5, atol=1e-6)


def test_one_certain_study_outweighs_all_in_cauchys_mean():
    """cot π = −∞; of opposite infinities nothing is known, as of Stouffer's."""
    q = 2.0**-45
    assert float(sx.combine([1 - q, q], "cauchy")) == pytest.approx(1.0, abs=0.02)
    assert float(sx.combine([1.0, 1e-20], "cauchy")) == 0.0
    assert float(sx.combine(log_p=[-1e6, 0.0], method="cauchy")) == 0.0
    assert float(sx.combine([1.0, 1e-20], "cauchy", weights=[0.0, 2.0])) == pytest.approx(20 * np.log2(10))
    for method in ("stouffer", "cauchy"):
        assert np.isnan(sx.combine([0.0, 1.0], method))
        assert np.isnan(jax.jit(lambda p, m=method: sx.combine(p, m))(jnp.array([0.0, 1.0])))


@pytest.mark.parametrize("method", ["stouffer", "harmonic-mean", "cauchy", "e-average"])
def test_only_proportions_of_weights_count(method):
    p = [0.01, 0.02]
    for one, other in (
        ([1e200, 1e200], None),
        ([1e-200, 1e-200], None),
        ([1e308, 1e308], None),
        ([1, 3], [5e-320, 15e-320]),
    ):
        expected = sx.combine(p, method, weights=other)
        np.testing.assert_allclose(sx.combine(p, method, weights=one), expected, rtol=1e-4 if other else 1e-14)
    traced = jax.jit(lambda w: sx.combine(p, method, weights=w))
    np.testing.assert_allclose(traced(jnp.array([1e30, 3e30])), sx.combine(p, method, weights=[1, 3]), rtol=1e-5)
    for bad in ([-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]):
        assert np.isnan(traced(jnp.array(bad)))


INF = np.inf
# Slopes of the surprise in p. At p = 0, those as p → 0 with the others fixed; at p = 1, one-sided.
SLOPES = {
    "fisher": {
        (0.0, 0.3): (-INF, -1 / 0.3),
        (0.0, 0.0): (-INF, -INF),
        (0.0, 1.0): (-INF, -1.0),
        (1.0, 1.0): (0.0, 0.0),
    },
    "stouffer": {(0.0, 0.3): (-INF, -INF), (0.0, 0.0): (-INF, -INF), (1.0, 0.3): (-INF, 0.0), (1.0, 1.0): (0.0, 0.0)},
    "tippett": {(0.0, 0.3): (-INF, 0.0), (0.0, 0.0): (-INF, -INF), (1.0, 1.0): (0.0, 0.0)},
    # −P'/P(X) with P = 1 − (1 + X) exp(−X) at X = −log 0.7, and times 1/(1 − p).
    "pearson": {
        (0.0, 0.3): (-4.960951, -7.087072),
        (0.0, 0.0): (-INF, -INF),
        (0.0, 1.0): (0.0, -INF),
        (1.0, 0.3): (-INF, 0.0),
        (1.0, 1.0): (0.0, 0.0),
    },
    "harmonic-mean": {
        (0.0, 0.3): (-INF, 0.0),
        (0.0, 0.0): (-INF, -INF),
        (0.0, 1.0): (-INF, 0.0),
        (1.0, 1.0): (-0.5, -0.5),
    },
    "cauchy": {(0.0, 0.3): (-INF, 0.0), (0.0, 0.0): (-INF, -INF), (1.0, 0.3): (-2.0, 0.0), (1.0, 1.0): (0.0, 0.0)},
    "e-average": {(0.0, 0.3): (-INF, 0.0), (0.0, 0.0): (-INF, -INF), (0.0, 1.0): (-INF, 0.0)},
    # e as a function of s near 0 is ½ + s/6, and its logarithm rises by 1/3.
    "e-product": {(0.0, 0.3): (-INF, -1.349663), (0.0, 0.0): (-INF, -INF), (0.0, 1.0): (-INF, -1 / 3)},
}


@pytest.mark.parametrize("method", METHODS)
def test_slopes_at_the_ends(method):
    slope = jax.jit(jax.grad(lambda p: sx.combine(p, method, "nat")))
    for p, expected in SLOPES[method].items():
        np.testing.assert_allclose(slope(jnp.array(p)), expected, rtol=2e-6, err_msg=str(p))
    if not method.startswith("e-"):
        assert slope(jnp.array([0.0])) == -INF
        assert slope(jnp.array([1.0])) == -1.0


@pytest.mark.parametrize("method", METHODS)
def test_slopes_at_the_ends_are_the_limits(method):
    """Those in log p at p = 0 are those at exp(−10⁸), and those in p near it."""
    weights = {"weights": [1.0, 3.0]} if method in ("stouffer", "harmonic-mean", "cauchy", "e-average") else {}
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(lambda log_p: sx.combine(log_p=log_p, method=method, unit="nat", **weights)))
        at, near = (slope(jnp.array([end, np.log(0.3)])) for end in (-np.inf, -1e8))
        np.testing.assert_allclose(at[0], near[0], rtol=1e-3, atol=1e-12)
        if np.isfinite(at[1]):
            np.testing.assert_allclose(at[1], near[1], rtol=1e-3, atol=1e-12)
        else:
            assert np.sign(at[1]) * near[1] > 1e3
        by_p = jax.jit(jax.grad(lambda p: sx.combine(p, method, "nat", **weights)))
        at, near = (by_p(jnp.array([end, 0.3])) for end in (0.0, 1e-12))
        assert np.isfinite(at[0]) == (method == "pearson")
        if method == "pearson":
            np.testing.assert_allclose(at, near, rtol=1e-9)


def test_a_bet_rises_from_a_half():
    """e = ½ + s/6 + s²/24 + …, also in slope."""
    slope = jax.jit(jax.grad(lambda s: sx.bet(s, "nat")))
    np.testing.assert_allclose([slope(s) for s in (0.0, 1e-6, 1e-2)], [1 / 6, 1 / 6 + 1e-6 / 12, 0.1675025], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.grad(lambda s: sx.bet(s, "nat", log=True)))(0.0), 1 / 3, rtol=1e-6)


def test_gradient_of_fisher():
    """d/ds of S − log Σ Sʲ/j!, k = 2: S/(1 + S)."""
    slope = jax.grad(lambda s: sx.combine(s=s, unit="nat"))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(slope, [0.75, 0.75], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sx.combine([0.1, 1.2]), "between 0 and 1; got 1.2 at index 1"),
        (lambda: sx.combine(log_p=[0.5]), "at most 0; got 0.5 at index 0"),
        (lambda: sx.combine(s=[1.0, -2.0]), "at least 0; got -2 at index 1"),
        (lambda: sx.combine([0.1], "fischer"), "Did you mean 'fisher'"),
        (lambda: sx.combine([0.1], s=[1.0]), "one of them; got p and s"),
        (lambda: sx.combine(), "one of them; got nothing"),
        (lambda: sx.combine(0.1), "a single number"),
        (lambda: sx.combine([]), "no studies"),
        (lambda: sx.combine([0.1, 0.2], weights=[1.0, 2.0]), "'fisher' has none"),
        (lambda: sx.combine([0.1, 0.2], "stouffer", weights=[1.0]), "got weights of shape"),
        (lambda: sx.combine([0.1, 0.2], "stouffer", weights=[1.0, -1.0]), "at least 0"),
        (lambda: sx.s_value(-0.1), "between 0 and 1"),
        (lambda: sx.bet(-1.0), "at least 0"),
        (lambda: sx.s_value(0.1 + 1j), "are real numbers; got complex ones"),
        (lambda: jax.jit(sx.s_value)(0.1 + 1j), "are real numbers; got complex ones"),
        (lambda: sx.combine([0.1, None]), "got None at index 1"),
        (lambda: sx.combine([0.1, 0.2], "cauchy", weights=[1.0, None]), "Weights are numbers; got None at index 1"),
        (lambda: sx.s_value(0.1, "bits"), "Did you mean 'bit'"),
    ],
)
def test_errors_are_sentences(call, words):
    with pytest.raises(ValueError, match=words):
        call()
