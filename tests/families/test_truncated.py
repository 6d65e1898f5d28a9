"""Truncated and censored distributions: far tails, moments, information and fits, beside SciPy, mpmath and plain sums."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.stats as st
from tests.families.precisions import each_dtype

from surprax.families.cauchy import Cauchy
from surprax.families.censored import Censored
from surprax.families.exponential_law import Exponential
from surprax.families.gamma import Gamma
from surprax.families.laplace import Laplace
from surprax.families.normal import Normal
from surprax.families.poisson import Poisson
from surprax.families.student_t import StudentT
from surprax.families.truncated import Truncated


def close(a, b, rtol=1e-9, atol=1e-12):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def log_phi_between(a, b):
    """log Φ(b) − Φ(a) with mpmath, from the tail that the interval is in."""
    if b < 0:
        a, b = -b, -a
    return mp.log((mp.erfc(mp.mpf(a) / mp.sqrt(2)) - mp.erfc(mp.mpf(b) / mp.sqrt(2))) / 2)


@each_dtype
@pytest.mark.parametrize(("low", "high"), [(40.0, 40.5), (40.0, np.inf), (-38.5, -38.0), (-1.0, 2.0), (-9.0, np.inf)])
def test_far_truncated_normal_has_the_density_and_slopes_of_the_definition(low, high, dtype):
    """Errors are those of the logarithms of two tails, some of them near −800, which are subtracted."""
    with jax.enable_x64(dtype is np.float64), mp.workdps(40):
        x = low + 0.125 if np.isfinite(low) else high - 0.125
        d = Truncated(Normal(dtype(0), dtype(1)), low=dtype(low), high=dtype(high))

        def exact(loc, scale, low, high, x):
            z = lambda v: (mp.mpf(v) - loc) / scale
            return -(z(x) ** 2) / 2 - mp.log(scale * mp.sqrt(2 * mp.pi)) - log_phi_between(z(low), z(high))

        at = (mp.mpf(0), mp.mpf(1), low, high if np.isfinite(high) else mp.inf, x)
        size = 4 * np.finfo(dtype).eps * max(low**2, 1 / (high - low))
        close(d.log_prob(x), float(exact(*at)), rtol=0, atol=size)
        got = jax.grad(lambda d: d.log_prob(dtype(x)))(d)
        slope = lambda i: float(mp.diff(lambda v: exact(*at[:i], v, *at[i + 1 :]), at[i]))
        for value, i in ((got.base.loc, 0), (got.base.scale, 1), (got.low, 2)):
            truth = slope(i)
            close(value, truth, rtol=1e3 * np.finfo(dtype).eps, atol=size * max(abs(low), 1) ** 1.5)
        if np.isinf(high):
            assert float(got.high) == 0.0


@each_dtype
def test_moments_and_quantiles_40_deviations_away(dtype):
    with jax.enable_x64(dtype is np.float64):
        d, far = Truncated(Normal(0.0, 1.0), low=40.0, high=40.2), st.truncnorm(40, 40.2)
        tight = 1e-10 if dtype is np.float64 else 1e-6
        close(d.mean, far.mean(), rtol=tight)
        close(d.icdf([0.0, 0.3, 1.0]), [40.0, far.ppf(0.3), 40.2], rtol=tight)
        close(d.log_cdf(40.1), far.logcdf(40.1), rtol=1e-5)
        close(d.log_sf(40.1), far.logsf(40.1), rtol=1e-4)
        with mp.workdps(40):
            weight = lambda v: mp.exp(-(v**2 - 1600) / 2)
            moment = lambda k: mp.quad(lambda v: (v - 40) ** k * weight(v), [40, 40.2])
            variance = moment(2) / moment(0) - (moment(1) / moment(0)) ** 2
        close(d.variance, float(variance), rtol=1e-9 if dtype is np.float64 else 1e-3)
        x = np.asarray(d.sample(jax.random.key(0), (4000,)), np.float64)
        assert np.all((x >= 40 - 1e-5) & (x <= 40.2 + 1e-5))
        if dtype is np.float64:
            assert st.kstest(x, lambda v: np.exp(np.asarray(d.log_cdf(v)))).pvalue > 1e-3
            assert st.kstest(x, far.cdf).pvalue > 1e-3


SMOOTH = [
    (Truncated(Normal(1.0, 2.0), low=-1.0, high=4.0), st.truncnorm(-1, 1.5, 1, 2), 1e-9),
    (Truncated(Exponential(2.0), low=3.0), st.expon(3, 0.5), 1e-9),
    (Truncated(Laplace(0.0, 1.0), low=-1.0, high=2.0), None, 1e-4),
    pytest.param(Truncated(Gamma(0.5, 1.0), high=2.0), None, 1e-8, marks=pytest.mark.thorough),  # slow to compile
]


@pytest.mark.parametrize(
    ("d", "theirs", "rtol"), SMOOTH, ids=lambda v: repr(v)[:40] if isinstance(v, Truncated) else ""
)
def test_moments_and_entropy_are_integrals_of_the_density(d, theirs, rtol):
    with jax.enable_x64(True):
        low, high = float(d.support.lower), float(min(d.support.upper, 40.0))
        u, w = np.polynomial.legendre.leggauss(400)
        # x = low + width t⁴ smooths a density like 1/√(x − low), and its logarithm; kinks at 0 are ends of panels.
        total = np.zeros(4)
        for a, b in ((low, 0.0), (0.0, high)) if low < 0 else ((low, high),):
            t = 0.5 * (u + 1)
            x = a + (b - a) * t**4
            log_p = np.asarray(d.log_prob(x))
            p = np.exp(log_p) * w * (b - a) * 2 * t**3
            total += [p.sum(), (p * x).sum(), (p * x * x).sum(), -(p * log_p).sum()]
        mass, mean, square, entropy = total
        close(mass, 1.0, rtol=1e-8)
        close(d.mean, mean, rtol=rtol)
        close(d.variance, square - mean**2, rtol=10 * rtol)
        close(d.entropy(), entropy, rtol=10 * rtol, atol=10 * rtol)
        if theirs is not None:
            close(d.mean, theirs.mean())
            close(d.log_cdf(np.array([3.1, 3.5])), theirs.logcdf([3.1, 3.5]))


def test_kl_is_expected_difference_of_surprise_and_keeps_its_digits():
    with jax.enable_x64(True):
        u, w = np.polynomial.legendre.leggauss(200)
        p = Truncated(Normal(0.0, 1.0), low=-1.0, high=2.0)
        x = 0.5 + 1.5 * u
        for q, rtol in (
            (Truncated(Normal(0.5, 2.0), low=-1.0, high=2.0), 1e-9),
            (Truncated(Normal(0.0, 1.001), low=-1.0, high=2.0), 1e-7),
            (Truncated(Normal(0.01, 1.0), low=-1.01, high=2.02), 1e-7),
            (Truncated(Normal(3.0, 0.5), low=-1.5), 1e-9),
        ):
            log_p, log_q = np.asarray(p.log_prob(x)), np.asarray(q.log_prob(x))
            close(p.kl(q), np.sum(1.5 * w * np.exp(log_p) * (log_p - log_q)), rtol=rtol)
        assert float(p.kl(Truncated(Normal(0.0, 1.0), low=-0.5, high=2.0))) == np.inf
        close(p.kl(p), 0.0)
        exact = float(p.kl(Truncated(Normal(0.0, 1.0 + 1e-3), low=-1.0, high=2.0)))
    single = float(p.kl(Truncated(Normal(0.0, 1.0 + 1e-3), low=-1.0, high=2.0)))
    close(single, exact, rtol=1e-2)


@pytest.mark.parametrize(
    "base", [Cauchy(0.0, 1.0), pytest.param(StudentT(1.0, 0.0, 1.0), marks=pytest.mark.thorough)], ids=str
)
def test_a_mean_that_does_not_exist_is_not_finite(base):
    """The same law twice, of which one takes ten times as long to compile."""
    with jax.enable_x64(True):
        assert float(Truncated(base, low=0.0).mean) == np.inf
        assert float(Truncated(base, high=0.0).mean) == -np.inf
        close(Truncated(base, low=-1.0, high=5.0).mean, np.log(13) / 2 / (np.arctan(5) + np.pi / 4))


def test_truncated_counts():
    with jax.enable_x64(True):
        d, base = Truncated(Poisson(3.0), low=0.5, high=6.7), st.poisson(3.0)
        x, share = np.arange(9.0), base.cdf(6) - base.cdf(0)
        inside = (x >= 1) & (x <= 6)
        close(np.exp(d.log_prob(x)), np.where(inside, base.pmf(x) / share, 0.0))
        close(d.cdf(x), np.clip((base.cdf(x) - base.cdf(0)) / share, 0.0, 1.0))
        assert float(d.mode) in (2.0, 3.0)
        draws = np.asarray(d.sample(jax.random.key(0), (2000,)))
        assert set(draws.tolist()) == set(range(1, 7))
        observed = np.bincount(draws, minlength=7)[1:]
        assert st.chisquare(observed, 2000 * base.pmf(np.arange(1, 7)) / share).pvalue > 1e-3
        with pytest.raises(NotImplementedError, match="discrete base"):
            _ = d.mean


def test_bad_ends_are_refused_in_words():
    with pytest.raises(ValueError, match=r"low must be below high; got low=2\.0 and high=1\.0"):
        Truncated(Normal(), low=2.0, high=1.0)
    with pytest.raises(ValueError, match="must meet the support"):
        Truncated(Exponential(1.0), high=-1.0)
    with pytest.raises(ValueError, match="must be a number"):
        Censored(Normal(), low=np.nan)
    with pytest.raises(TypeError, match="must be a distribution"):
        Truncated(3.0)
    with pytest.raises(TypeError, match=r"base=\.\.\., the family"):
        Truncated.fit([1.0, 2.0], low=0.0)


@pytest.mark.parametrize("kind", [Truncated, Censored])
def test_batches_and_spoilt_parameters(kind):
    with jax.enable_x64(True):
        d = kind(Normal(np.array([0.0, 1.0]), 1.0), low=0.0, high=2.5)
        x = np.array([[0.3], [0.9], [3.0]])
        assert d.batch_shape == (2,)
        assert d.log_prob(x).shape == (3, 2)
        assert d.sample(jax.random.key(0), (50,)).shape == (50, 2)
        assert len(np.unique(np.asarray(d.sample(jax.random.key(0), (50,)))[:, 0])) > 20
        for name in ("mean", "variance", "mode"):
            close(getattr(d, name)[1], getattr(d[1], name))
        close(d.kl(d[1])[1], 0.0)
        close(
            jax.vmap(lambda d: d.log_prob(0.3))(jax.tree.map(lambda v: jnp.broadcast_to(v, (2,)), d)), d.log_prob(0.3)
        )
        bad = jax.jit(lambda scale: kind(Normal(0.0, scale), low=0.0, high=2.5).log_prob(0.5))(-1.0)
        assert np.isnan(bad)


def test_censored_law_is_that_of_clipped_draws():
    with jax.enable_x64(True):
        d, base = Censored(Normal(0.3, 1.2), low=-0.5, high=1.5), st.norm(0.3, 1.2)
        close(np.exp(d.log_prob([-0.5, 0.0, 1.5])), [base.cdf(-0.5), base.pdf(0.0), base.sf(1.5)])
        assert np.all(np.asarray(d.log_prob([-0.6, 1.6])) == -np.inf)
        u, w = np.polynomial.legendre.leggauss(100)
        x, w = 0.5 + u, w * base.pdf(0.5 + u)
        mean = w @ x + base.cdf(-0.5) * -0.5 + base.sf(1.5) * 1.5
        close(d.mean, mean)
        square = w @ (x - mean) ** 2 + base.cdf(-0.5) * (-0.5 - mean) ** 2 + base.sf(1.5) * (1.5 - mean) ** 2
        close(d.variance, square)
        ends = np.array([base.cdf(-0.5), base.sf(1.5)])
        close(d.entropy(), -w @ base.logpdf(x) - ends @ np.log(ends))
        other = st.norm(0.1, 1.0)
        others = np.array([other.cdf(-0.5), other.sf(1.5)])
        kl = w @ (base.logpdf(x) - other.logpdf(x)) + ends @ np.log(ends / others)
        close(d.kl(Censored(Normal(0.1, 1.0), low=-0.5, high=1.5)), kl)
        assert float(d.kl(Censored(Normal(0.3, 1.2), low=-0.4, high=1.5))) == np.inf
        close(d.cdf([-0.6, -0.5, 1.0, 1.5]), [0.0, base.cdf(-0.5), base.cdf(1.0), 1.0])
        close(d.icdf([0.01, 0.5, 0.99]), [-0.5, 0.3, 1.5])
        p = Censored(Poisson(3.0), low=1.0, high=5.0)
        close(
            np.exp(p.log_prob(np.arange(1.0, 6))),
            [*st.poisson(3).cdf([1]), *st.poisson(3).pmf([2, 3, 4]), st.poisson(3).sf(4)],
        )


@pytest.mark.parametrize("kind", [Truncated, Censored])
def test_fit_is_the_maximum(kind):
    base = st.norm(2000.0, 300.0)
    x = base.rvs(3000, random_state=1)
    low, high = 1700.0, 2500.0
    x = np.clip(x, low, high) if kind is Censored else x[(x > low) & (x < high)]
    fit = kind.fit(x, base=Normal, low=low, high=high)
    with jax.enable_x64(True):
        height = jax.jit(lambda loc, scale: jnp.sum(kind(Normal(loc, scale), low=low, high=high).log_prob(x)))
        slopes = jax.grad(height, (0, 1))(fit.base.loc, fit.base.scale)
        close(slopes, [0.0, 0.0], atol=1e-6)
        best = float(height(fit.base.loc, fit.base.scale))
        for factor in (0.99, 1.01):
            assert float(height(fit.base.loc, fit.base.scale * factor)) < best
            assert float(height(fit.base.loc * factor, fit.base.scale)) < best
    assert abs(float(fit.base.loc) - 2000) < 60
    with pytest.raises(ValueError, match="row 0 is 1e"):
        kind.fit(np.array([1e6, 2000.0]), base=Normal, low=low, high=high)
