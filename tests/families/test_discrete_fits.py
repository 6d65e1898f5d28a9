"""Maximum likelihood for families of whole numbers: against closed forms, brute force and SciPy, with every outcome."""

import time

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.stats as st

from surprax.families import Reason
from surprax.families.bernoulli import Bernoulli
from surprax.families.binomial import Binomial
from surprax.families.categorical import Categorical
from surprax.families.geometric import Geometric
from surprax.families.negative_binomial import NegativeBinomial
from surprax.families.poisson import Poisson

# Closed forms.


def test_fits_are_the_mean():
    rng = np.random.default_rng(0)
    for _ in range(3):
        x, w = rng.poisson(rng.uniform(0.5, 30), 200), rng.uniform(0, 2, 200)
        mean = np.average(x, weights=w)
        assert float(Poisson.fit(x, w).rate) == pytest.approx(mean, rel=1e-14)
        assert float(np.exp(-Geometric.fit(x, w).logits)) == pytest.approx(mean, rel=1e-14)
        assert float(NegativeBinomial.fit(x, w, concentration=3.0).mean) == pytest.approx(mean, rel=1e-14)
        assert float(Binomial.fit(x, w, total_count=100).probs) == pytest.approx(mean / 100, rel=1e-14)
        high = x > mean
        assert float(Bernoulli.fit(high, w).probs) == pytest.approx(np.average(high, weights=w), rel=1e-13)
        shares = np.bincount(x, w) / w.sum()
        if np.all(shares > 0):
            np.testing.assert_allclose(Categorical.fit(x, w).probs, shares, rtol=1e-13)


@pytest.mark.parametrize(
    ("cls", "data", "reason", "known"),
    [
        (Bernoulli, [], Reason.NO_DATA, {}),
        (Bernoulli, [0, 0], Reason.ALL_ZERO, {}),
        (Bernoulli, [1, 1], Reason.ALL_AT_UPPER_END, {}),
        (Binomial, [0, 0], Reason.ALL_ZERO, {"total_count": 3}),
        (Binomial, [3, 3], Reason.ALL_AT_UPPER_END, {"total_count": 3}),
        (Binomial, [], Reason.NO_DATA, {}),
        (Binomial, [0, 0], Reason.ALL_ZERO, {}),
        (Binomial, [3, 3], Reason.ALL_AT_UPPER_END, {}),
        (Binomial, [0, 7, 1], Reason.OVERDISPERSED, {}),
        (Poisson, [], Reason.NO_DATA, {}),
        (Poisson, [0, 0], Reason.ALL_ZERO, {}),
        (Geometric, [0, 0], Reason.ALL_ZERO, {}),
        (NegativeBinomial, [], Reason.NO_DATA, {}),
        (NegativeBinomial, [0, 0], Reason.ALL_ZERO, {}),
        (NegativeBinomial, [2, 3], Reason.UNDERDISPERSED, {}),
        (NegativeBinomial, [0, 0], Reason.ALL_ZERO, {"concentration": 2.0}),
        (Categorical, [], Reason.NO_DATA, {}),
        (Categorical, [0, 2], Reason.UNSEEN_CATEGORY, {}),
    ],
)
def test_where_there_is_no_maximum(cls, data, reason, known):
    limit, outcome = cls.try_fit(np.array(data, np.int64), **known)
    assert outcome.reason is reason
    with pytest.raises(ValueError, match="no maximum of the likelihood"):
        cls.fit(np.array(data, np.int64), **known)
    if data and reason in (Reason.ALL_ZERO, Reason.ALL_AT_UPPER_END):
        # The limit makes the data certain.
        np.testing.assert_array_equal(limit.log_prob(np.array(data, float)), np.zeros(len(data)))
    if reason is Reason.UNDERDISPERSED:
        np.testing.assert_allclose(limit.log_prob(2.0), Poisson(2.5).log_prob(2.0), rtol=1e-6)


def test_data_outside_the_support_are_named():
    for fit, row in (
        (lambda: Bernoulli.fit([0, 1, 2]), "row 2 is 2"),
        (lambda: Poisson.fit([0.0, 1.5]), "row 1 is 1.5"),
        (lambda: Geometric.fit([-1, 2]), "row 0 is -1"),
        (lambda: Binomial.fit([1, 9], total_count=5), "row 1 is 9"),
        (lambda: Categorical.fit([0, 1, 3], num_categories=3), "row 2 is 3"),
        (lambda: NegativeBinomial.fit([1.0, np.nan]), "row 1 is missing"),
    ):
        with pytest.raises(ValueError, match=row):
            fit()


# The concentration of a negative binomial.


def profile_score(r, values, counts):
    """Σ counts [ψ(r + v) − ψ(r)] − n log(1 + mean/r), by sums of reciprocals with 40 digits."""
    n = counts.sum()
    mean = mp.mpf(int((values * counts).sum())) / int(n)
    rises = sum(int(c) * (mp.digamma(r + int(v)) - mp.digamma(r)) for v, c in zip(values, counts))
    return rises - int(n) * mp.log1p(mean / r)


@pytest.mark.parametrize(
    ("mean", "concentration", "rows"),
    [
        (2, 1, 1000),
        (0.01, 0.05, 30000),
        (100, 0.01, 300),
        (1e4, 50, 100),
        (5, 300, 30000),
        (1e6, 1e-2, 300),
        (1e5, 2, 20),
    ],
)
def test_concentration_is_the_root_of_the_profile_score(mean, concentration, rows):
    rng = np.random.default_rng(2)
    x = rng.poisson(rng.gamma(concentration, mean / concentration, rows))
    d, outcome = NegativeBinomial.try_fit(x)
    assert outcome.ok
    assert float(d.mean) == pytest.approx(x.mean(), rel=1e-14)
    values, counts = np.unique(x, return_counts=True)
    with mp.workdps(40):
        r = mp.mpf(float(d.concentration))
        low, high = (profile_score(r * (1 + s * mp.mpf("1e-9")), values, counts) for s in (-1, 1))
        assert low > 0 > high


def test_concentration_of_hard_samples():
    """One count among zeros, two far values, counts in the hundreds of millions."""
    for x in ([0, 0, 0, 10**6], [0] * 10000 + [2], [0, 10**9], [10**8, 10**8 + 30000], [0, 1, 1, 1, 5]):
        d, outcome = NegativeBinomial.try_fit(np.array(x))
        assert outcome.ok, x
        values, counts = np.unique(x, return_counts=True)
        with mp.workdps(40):
            r = mp.mpf(float(d.concentration))
            low, high = (profile_score(r * (1 + s * mp.mpf("1e-7")), values, counts) for s in (-1, 1))
            assert low > 0 > high, x


def test_fit_of_a_million_rows_is_quick():
    """A count of the values, then Newton on those: tens of milliseconds, where general optimisers take seconds."""
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.gamma(2.0, 1.5, 1_000_000))
    NegativeBinomial.fit(x)
    start = time.perf_counter()
    d = NegativeBinomial.fit(x)
    assert time.perf_counter() - start < 1.0
    assert float(d.concentration) == pytest.approx(2.0, rel=0.02)


def test_fit_from_a_start_and_under_tracing():
    x = np.array([1.0, 5, 9, 0, 2])
    whole = NegativeBinomial.fit(x)
    with jax.enable_x64(True):
        d, outcome = jax.jit(lambda x: NegativeBinomial._fit_sample(x, None, {}, NegativeBinomial(3.0, 40.0)))(x)
        assert bool(outcome.ok)
        np.testing.assert_allclose(d.concentration, whole.concentration, rtol=1e-9)
    d, outcome = jax.jit(NegativeBinomial.try_fit)(jnp.asarray(x))
    np.testing.assert_allclose(d.concentration, whole.concentration, rtol=1e-5)
    again = NegativeBinomial.fit(np.array([1, 5, 9, 0, 2, 2]), weights=np.array([1, 1, 1, 1, 0.5, 0.5]))
    np.testing.assert_allclose(again.concentration, whole.concentration, rtol=1e-12)


# The number of trials of a binomial.


@pytest.mark.parametrize(
    ("trials", "p", "rows"), [(1, 0.4, 30), (7, 0.5, 50), (38, 0.8, 100), (200, 0.1, 2000), (5000, 0.9, 300)]
)
def test_total_count_is_the_best_of_all(trials, p, rows):
    rng = np.random.default_rng(trials)
    x = rng.binomial(trials, p, rows)
    d, outcome = Binomial.try_fit(x)
    if x.var() >= x.mean():
        assert outcome.reason is Reason.OVERDISPERSED
        return
    n = int(d.total_count)
    near = np.arange(max(x.max(), n - 50), n + 50)
    profile = [st.binom(m, x.mean() / m).logpmf(x).sum() for m in near]
    assert outcome.ok
    assert n == near[np.argmax(profile)]
    assert float(d.probs) == pytest.approx(x.mean() / n, rel=1e-12)


def test_total_count_nearly_poisson():
    """A variance just below the mean asks for a very large number of trials."""
    x = np.repeat([1, 2, 3, 4, 5, 6], [290, 260, 215, 130, 70, 35])
    assert 0.7 < x.var() / x.mean() < 1.0
    n = int(Binomial.fit(x).total_count)
    moments = x.mean() ** 2 / (x.mean() - x.var())
    assert n == pytest.approx(moments, rel=0.5)


# Evidence.


FITS = [
    (Bernoulli, lambda r: r.integers(0, 2, 300), Bernoulli(0.3), {}),
    (Binomial, lambda r: r.binomial(9, 0.3, 300), Binomial(9, 0.4), {"total_count": 9}),
    (Poisson, lambda r: r.poisson(4.0, 300), Poisson(5.0), {}),
    (Geometric, lambda r: r.geometric(0.3, 300) - 1, Geometric(0.4), {}),
    (
        NegativeBinomial,
        lambda r: r.negative_binomial(2.0, 0.4, 300),
        NegativeBinomial(2.0, 3.0),
        {"concentration": 3.0},
    ),
    (NegativeBinomial, lambda r: r.negative_binomial(2.0, 0.4, 300), NegativeBinomial(2.0, 3.0), {}),
    (Categorical, lambda r: r.integers(0, 3, 300), Categorical(probs=[0.2, 0.3, 0.5]), {}),
]


@pytest.mark.parametrize(("cls", "draw", "q", "known"), FITS)
def test_evidence_scores_and_merges_like_the_data(cls, draw, q, known, tmp_path):
    x = draw(np.random.default_rng(1))
    groups = np.arange(300) % 3
    with jax.enable_x64(True):
        whole = cls.evidence(x, **known)
        total = float(np.sum(np.asarray(q.log_prob(x))))
        np.testing.assert_allclose(whole.log_likelihood(q), total, rtol=1e-11)
        np.testing.assert_allclose(q.log_likelihood(x), total, rtol=1e-11)
        by = cls.evidence(x, by=groups, **known)
        parts = cls.evidence(x[:100], **known) + cls.evidence(x[100:], **known)
        for other in (parts, by.total(), whole + cls.evidence(x, **known) - cls.evidence(x, **known)):
            for mine, theirs in zip(jax.tree.leaves(other.fit()), jax.tree.leaves(whole.fit())):
                np.testing.assert_allclose(mine, theirs, rtol=1e-9)
        fits, outcome = cls.try_fit(by)
        assert np.all(outcome.ok)
        for g in range(3):
            one = cls.fit(x[groups == g], **known)
            for mine, theirs in zip(jax.tree.leaves(fits[g]), jax.tree.leaves(one)):
                np.testing.assert_allclose(mine, theirs, rtol=1e-9)
        path = tmp_path / "evidence.json"
        whole.save(path)
        again = type(whole).load(path)
        np.testing.assert_allclose(again.log_likelihood(q), total, rtol=1e-11)
        np.testing.assert_allclose((0.5 * whole).log_likelihood(q), 0.5 * total, rtol=1e-11)


def test_evidence_of_categories_has_a_place_for_each():
    e = Categorical.evidence([0, 2, 2], num_categories=5)
    np.testing.assert_array_equal(e.values, np.arange(5))
    np.testing.assert_array_equal(e.counts, [1, 0, 2, 0, 0])
    both = Categorical.evidence([0, 1]) + Categorical.evidence([3, 2])
    np.testing.assert_array_equal(both.fit().probs, np.full(4, 0.25))
    grouped = Categorical.evidence([0, 1, 1, 2], by=["a", "a", "b", "b"], weights=[1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(grouped.counts, [[1, 2, 0], [0, 3, 4]])


def test_traced_fits_of_categories_need_their_number():
    x = jnp.array([0, 1, 2, 2])
    d, outcome = jax.jit(lambda x: Categorical.try_fit(x, num_categories=3))(x)
    np.testing.assert_allclose(np.exp(d.logits), [0.25, 0.25, 0.5], rtol=1e-6)
    assert bool(outcome.ok)
    with pytest.raises(ValueError, match="num_categories"):
        jax.jit(Categorical.try_fit)(x)


def test_log_likelihood_of_large_counts_in_float32():
    """Σ log x! is 10⁷ per row here; the sum of masses does not pass through it."""
    rng = np.random.default_rng(0)
    x = rng.poisson(1e6, 100).astype(np.float32)
    truth = st.poisson(1e6).logpmf(x.astype(float)).sum()
    assert float(Poisson(1e6).log_likelihood(x)) == pytest.approx(truth, rel=1e-6)
