"""The hard regions of more families of whole numbers: extreme parameters beside mpmath, and data without a maximum."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy.special import gammaln
from tests.families.precisions import each_dtype
from tests.numerics.oracle import Case, check, log_grid

from surprax.families import Bernoulli, Binomial, Geometric, NegativeBinomial, Poisson
from surprax.families.beta_binomial import BetaBinomial
from surprax.families.beta_negative_binomial import BetaNegativeBinomial
from surprax.families.conway_maxwell_poisson import ConwayMaxwellPoisson
from surprax.families.logarithmic import Logarithmic
from surprax.families.outcomes import Reason
from surprax.families.polya import log_urn, log_wait
from surprax.families.zeta import Zeta


def signs(count, seed=5):
    return np.random.default_rng(seed).choice([-1.0, 1.0], count)


# The logarithmic series distribution. Its masses are e^−λx/(x t).


def _logarithmic(logits):
    t = mp.log1p(mp.exp(logits))
    return t, mp.log1p(mp.exp(-logits))


def _mean(logits):
    return mp.exp(logits) / _logarithmic(logits)[0]


def _log_mass(x, logits):
    t, decay = _logarithmic(logits)
    return -decay * x - mp.log(x * t)


def _score(x, logits):
    return (x - _mean(logits)) / (1 + mp.exp(logits))


def _entropy(logits):
    t, decay = _logarithmic(logits)
    # −d/ds of the polylogarithm of order s is Σ pˣ log(x)/x at s = 1.
    if decay > 0.2:
        logs = mp.nsum(lambda x: mp.exp(-decay * x) * mp.log(x) / x, [2, mp.inf])
    else:
        terms = mp.mpf(0)
        for n in range(12):
            terms += (-decay) ** n / mp.factorial(n) * -mp.zeta(1 - n, 1, 1) if n else 0
        log, g = -mp.log(decay), mp.euler
        logs = log**2 / 2 - g * log + g**2 / 2 + mp.pi**2 / 12 + mp.stieltjes(1) + terms
    return mp.log(t) + decay * mp.exp(logits) / t + logs / t


@functools.cache
def _log_tail(x, logits):
    """By the incomplete beta function B(p; x + 1, 0), in 40 digits: nothing cancels, and more would take three times as long."""
    with mp.workdps(40):
        t, decay = _logarithmic(logits)
        a = x + 1
        if a * decay > 0.2:
            tail = mp.quad(
                lambda v: mp.exp(-a * (v - decay)) / -mp.expm1(-v), [decay + k / a for k in (0, 1, 5, 20, 60, 150)]
            )
            return mp.log(tail) - a * decay - mp.log(t)
        return mp.log1p(-_head(x, logits) / t)


@functools.cache
def _head(x, logits):
    t, decay = _logarithmic(logits)
    p = mp.exp(-decay)
    if x <= 2000:
        return mp.fsum(p**k / k for k in range(1, int(x) + 1))
    a = x + 1
    rest = mp.quad(
        lambda u: mp.exp(-u) * (1 / -mp.expm1(-(decay + u / a)) - 1 / (decay + u / a)) / a, [0, 1, 5, 20, 60, 150]
    )
    return t - mp.e1(a * decay) - mp.exp(-a * decay) * rest


def _log_head(x, logits):
    tail = _log_tail(x, logits)
    return mp.log1p(-mp.exp(tail)) if tail < -1 else mp.log(_head(x, logits) / _logarithmic(logits)[0])


def _kl(p, q):
    (t, decay), (t_q, decay_q) = _logarithmic(p), _logarithmic(q)
    return _mean(p) * (decay_q - decay) + mp.log(t_q / t)


# Numbers of float32, of which both precisions then ask the same.
LOGITS = np.float32(np.concatenate([np.linspace(-60.0, 40.0, 41), [-1e-3, 0.0, 2.0]])).astype(float)
NEXT = LOGITS + signs(len(LOGITS)) * log_grid(-6, 0.7, len(LOGITS))
COUNTS = log_grid(0, 5, len(LOGITS), seed=3).round()


def log_series(method):
    return lambda x, logits: getattr(Logarithmic._of(logits=logits), method)(x)


@each_dtype
@pytest.mark.parametrize(
    "case",
    [
        Case(lambda v: Logarithmic._of(logits=v).mean, _mean, (), (LOGITS,)),
        Case(lambda v: Logarithmic._of(logits=v).entropy(), _entropy, (), (LOGITS,)),
        Case(
            lambda p, q: Logarithmic._of(logits=p).kl(Logarithmic._of(logits=q)),
            _kl,
            (),
            (LOGITS, NEXT),
        ),
        Case(
            jax.jit(lambda mean: Logarithmic.from_expectation(mean[:, None]).logits),
            lambda mean: mp.findroot(
                lambda u: mp.log((_mean(u) - 1) / (mean - 1)), (mp.log(mean), 2 * mp.log(mean - 1))
            ),
            (),
            (1.0 + 10.0 ** np.linspace(-5.5, 12.0, 12),),
        ),
    ],
    ids=["mean", "entropy", "kl", "from_expectation"],
)
def test_logarithmic_information_has_its_digits(case, dtype):
    check(case, dtype)


@each_dtype
@pytest.mark.parametrize(
    ("method", "value", "slope"),
    [
        ("log_prob", _log_mass, _score),
        ("log_sf", _log_tail, None),
        ("log_cdf", _log_head, None),
    ],
)
def test_logarithmic_masses_and_tails_have_their_digits(method, value, slope, dtype):
    function = log_series(method)
    if slope is None:
        check(Case(function, value, (), (COUNTS, LOGITS)), dtype)
    else:
        swapped = Case(
            lambda v, x: function(x, v), lambda v, x: value(x, v), (lambda v, x: slope(x, v),), (LOGITS, COUNTS)
        )
        check(swapped, dtype)


# Pólya's urn.

WEIGHTS = log_grid(-2, 7, 40, seed=1), log_grid(-2, 7, 40, seed=2)
DRAWS = log_grid(0, 6, 40, seed=3).round(), log_grid(0, 6, 40, seed=4).round()


def rising(a, k):
    return mp.loggamma(a + k) - mp.loggamma(a) - mp.loggamma(k + 1)


def urn(k, l, a, b):  # noqa: E741
    return rising(a, k) + rising(b, l) - rising(a + b, k + l)


def digamma_change(a, k):
    return mp.psi(0, a + k) - mp.psi(0, a)


@each_dtype
@pytest.mark.parametrize(
    "case",
    [
        Case(
            lambda a, b, k, n: log_urn(k, n, a, b),
            lambda a, b, k, n: urn(k, n, a, b),
            (lambda a, b, k, n: digamma_change(a, k) - digamma_change(a + b, k + n),),
            (*WEIGHTS, *DRAWS),
        ),
        Case(
            lambda a, b, k: log_urn(jnp.zeros_like(k), k, a, b),
            lambda a, b, k: urn(mp.mpf(0), k, a, b),
            (),
            (*WEIGHTS, DRAWS[0]),
        ),
        Case(
            lambda r, a, b, k: log_wait(k, r, a, b),
            lambda r, a, b, k: urn(k, r, b, a) + mp.log(r / (r + k)),
            (lambda r, a, b, k: digamma_change(r, a) - digamma_change(r + k, a + b),),
            (DRAWS[1], *WEIGHTS, DRAWS[0]),
        ),
    ],
    ids=["urn", "no draw", "wait"],
)
def test_draws_from_an_urn_have_their_digits(case, dtype):
    check(case, dtype)


def test_huge_concentrations_are_binomial_and_negative_binomial():
    x = np.arange(0.0, 40.0, 3.0)
    np.testing.assert_allclose(BetaBinomial(1e12, 3e12, 40).log_prob(x), Binomial(40, 0.25).log_prob(x), rtol=1e-6)
    np.testing.assert_allclose(
        BetaNegativeBinomial(1e12, 3e12, 2.5).log_prob(x), NegativeBinomial(7.5, 2.5).log_prob(x), rtol=1e-6
    )


# Sums at few places beside sums over all numbers.


@pytest.mark.parametrize("single", [True, pytest.param(False, marks=pytest.mark.thorough)])
@pytest.mark.parametrize(
    ("a", "b", "n"),
    [
        (0.5, 0.5, 1e6),
        (3.0, 1e4, 1e6),
        pytest.param(1e4, 2.0, 1e6, marks=pytest.mark.thorough),  # the one before, turned round
        (1e5, 1e5, 1e6),
        (0.01, 0.02, 1e4),
    ],
)
def test_beta_binomial_sums_are_those_over_all_numbers(a, b, n, single):
    with jax.enable_x64(True):
        x = np.arange(n + 1)
        log_p = np.asarray(BetaBinomial(a, b, n).log_prob(x))
        p, q = np.exp(log_p), np.exp(np.asarray(BetaBinomial(1.01 * a, 0.99 * b, n).log_prob(x)))
    below, above = np.cumsum(p), np.append(np.cumsum(p[:0:-1])[::-1], 0.0)
    truth = np.sum(np.where(p > 0, -p * log_p, 0.0))
    at = np.flatnonzero((below > 1e-12) & (above > 1e-12))
    at = at[:: max(1, len(at) // 7)]
    tolerance = 1e-5 if single else 1e-10
    with jax.enable_x64(not single):
        d, other = BetaBinomial(a, b, n), BetaBinomial(1.01 * a, 0.99 * b, n)
        np.testing.assert_allclose(d.entropy(), truth, rtol=tolerance)
        np.testing.assert_allclose(
            d.kl(other), np.sum(np.where(p > 0, p * (log_p - np.log(q + 1e-300)), 0.0)), rtol=2e-4 if single else 1e-8
        )
        np.testing.assert_allclose(d.cdf(at.astype(float)), below[at], rtol=tolerance)
        np.testing.assert_allclose(d.sf(at.astype(float)), above[at], rtol=tolerance)


@each_dtype
def test_tail_of_a_beta_geometric_distribution_is_a_ratio_of_beta_functions(dtype):
    """P(X > x) = B(a, b + x + 1)/B(a, b) for one success, and also with b and r changed over."""
    weights = np.array([0.25, 1.5, 6.0, 40.0, 0.5, 2.0]), np.array([0.5, 8.0, 1024.0, 2.0**20, 3.0, 2.0**14])
    counts = np.array([[0.0, 3.0, 100.0, 2.0**20, 2.0**30]])
    with jax.enable_x64(dtype is np.float64), mp.workdps(30):
        a, b = (v.astype(dtype)[:, None] for v in weights)
        one = np.ones_like(a)
        truth = [
            [float(mp.log(mp.beta(u, v + k + 1) / mp.beta(u, v))) for k in counts[0].tolist()]
            for u, v in zip(*(w.tolist() for w in weights))
        ]
        rtol = 16 * np.finfo(dtype).eps * (1.0 + np.log1p(counts + b))  # of the masses, in nats
        for d in (BetaNegativeBinomial(a, b, one), BetaNegativeBinomial(a, one, b)):
            error = np.abs(np.asarray(d.log_sf(counts.astype(dtype)), np.float64) - truth)
            assert np.all(error <= rtol * (1.0 + np.abs(truth))), error
            complement = np.log(-np.expm1(truth))
            error = np.abs(np.asarray(d.log_cdf(counts.astype(dtype)), np.float64) - complement)
            assert np.all(error <= rtol * (1.0 + np.abs(complement))), error


def test_entropy_of_a_heavy_tail_counts_what_lies_beyond_all_places():
    """From 2e6 on, where a sixteenth of the mass is, the masses are a power: log p falls by a + 1 times the mean of log x, 1/a."""
    a = 0.2
    with jax.enable_x64(True):
        d = BetaNegativeBinomial(a, 1.0, 1.0)
        log_p = np.asarray(d.log_prob(np.arange(2e6 + 1.0)))
        edge = 0.5 * (log_p[-1] + log_p[-2])
        beyond = np.exp(float(d.log_sf(2e6 - 1.0)))
        head = -np.sum(np.exp(log_p[:-1]) * log_p[:-1])
        np.testing.assert_allclose(d.entropy(), head + beyond * ((a + 1.0) / a - edge), rtol=1e-9)


# The Conway–Maxwell–Poisson distribution beside sums over all numbers.

CONWAY = [(0.0, 1.0), (-0.001, 0.0), (-1e-4, 1e-4), (9.0, 1.0), (0.5, 0.05), (60.0, 8.0), (-12.0, 3.0), (2.0, 30.0)]


def conway_sums(log_rate, dispersion):
    x = np.arange(200_000.0)
    logs = x * np.longdouble(log_rate) - np.longdouble(dispersion) * gammaln(x + 1.0)
    top = logs.max()
    p = np.exp(logs - top)
    return x, logs - top - np.log(p.sum()), p / p.sum(), float(top + np.log(p.sum()))


@pytest.mark.parametrize(("log_rate", "dispersion"), CONWAY)
def test_conway_maxwell_poisson_sums_are_those_over_all_numbers(log_rate, dispersion):
    x, log_p, p, log_normalizer = conway_sums(log_rate, dispersion)
    mean = float(p @ x)
    truths = {
        "log_normalizer": log_normalizer,
        "mean": mean,
        "variance": float(p @ (x - mean) ** 2),
    }
    some = p > 0
    entropy = float(-(p[some] @ log_p[some]))
    for single in (True, False):
        rtol = 3e-5 if single else 1e-10
        with jax.enable_x64(not single):
            d = ConwayMaxwellPoisson(log_rate=log_rate, dispersion=dispersion)
            for name, truth in truths.items():
                np.testing.assert_allclose(getattr(d, name), truth, rtol=rtol, err_msg=name)
            np.testing.assert_allclose(d.entropy(), entropy, rtol=rtol)
            at = np.floor(mean + np.sqrt(truths["variance"]) * np.array([-1.0, 0.0, 1.0, 4.0]))
            at = np.maximum(at, 0.0)  # as many in every case, which then share what is compiled
            np.testing.assert_allclose(
                d.log_cdf(at), [np.log(float(p[: int(k) + 1].sum())) for k in at], rtol=10 * rtol, atol=rtol
            )
            np.testing.assert_allclose(
                d.log_sf(at), [np.log(float(p[int(k) + 1 :].sum())) for k in at], rtol=10 * rtol, atol=rtol
            )


@pytest.mark.parametrize(("log_rate", "dispersion"), CONWAY[3:7])
def test_conway_maxwell_poisson_kl_is_half_the_squared_distance_nearby(log_rate, dispersion):
    p = ConwayMaxwellPoisson(log_rate=log_rate, dispersion=dispersion)
    step = np.array([3e-5 * np.sqrt(max(dispersion, 0.01)), -1e-5 * dispersion])
    q = ConwayMaxwellPoisson(log_rate=np.float32(log_rate + step[0]), dispersion=np.float32(dispersion - step[1]))
    step = np.array([float(q.log_rate) - np.float32(log_rate), np.float32(dispersion) - float(q.dispersion)])
    with jax.enable_x64(True):
        fisher = np.asarray(p.fisher_information())
    np.testing.assert_allclose(p.kl(q), 0.5 * step @ fisher @ step, rtol=0.02)


def test_conway_maxwell_poisson_has_its_three_corners():
    x = np.arange(12.0)
    np.testing.assert_allclose(ConwayMaxwellPoisson(3.0, 1.0).log_prob(x), Poisson(3.0).log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(ConwayMaxwellPoisson(0.25, 0.0).log_prob(x), Geometric(0.75).log_prob(x), rtol=1e-5)
    few = ConwayMaxwellPoisson(3.0, 60.0)
    np.testing.assert_allclose(few.log_prob(x[:2]), Bernoulli(0.75).log_prob(x[:2]), rtol=1e-5)


def test_expectation_to_parameters_has_the_derivatives_of_the_implicit_function():
    d = ConwayMaxwellPoisson(log_rate=2.0, dispersion=0.7)
    with jax.enable_x64(True):
        back = jax.jit(jax.jacfwd(lambda e: ConwayMaxwellPoisson.from_expectation(e).natural))(d.expectation)
        np.testing.assert_allclose(back @ d.fisher_information(), np.eye(2), atol=1e-7)


# Maximum likelihood.


@pytest.mark.parametrize(
    "d",
    [
        BetaBinomial(2.0, 3.0, 12),
        BetaBinomial(0.4, 0.3, 12),
        BetaNegativeBinomial(3.0, 4.0, 2.0),
        # Data with as many different counts as no other: all is compiled anew.
        pytest.param(BetaNegativeBinomial(0.5, 4.0, 2.0), marks=pytest.mark.thorough),
    ],
    ids=str,
)
def test_score_is_zero_at_the_fit(d):
    x = np.asarray(d.sample(jax.random.key(1), (2000,)), np.float64)
    fit = type(d).fit(x, total_count=float(d.total_count))
    with jax.enable_x64(True):
        scores = jax.grad(lambda f: jnp.mean(f.log_prob(x)))(jax.tree.map(jnp.asarray, fit))
    for name in ("concentration1", "concentration0"):
        np.testing.assert_allclose(np.asarray(getattr(scores, name)) * getattr(fit, name), 0.0, atol=1e-7)
        np.testing.assert_allclose(getattr(fit, name), getattr(d, name), rtol=0.3)


@pytest.mark.parametrize(
    ("family", "data", "known", "reason"),
    [
        (Logarithmic, [1, 1, 1], {}, Reason.ALL_AT_LOWER_END),
        (Zeta, [1, 1, 1], {}, Reason.ALL_AT_LOWER_END),
        (ConwayMaxwellPoisson, [0, 0], {}, Reason.ALL_ZERO),
        (ConwayMaxwellPoisson, [3, 3, 4], {}, Reason.TWO_NEIGHBOURS),
        (ConwayMaxwellPoisson, [5, 5], {}, Reason.TWO_NEIGHBOURS),
        (ConwayMaxwellPoisson, [0, 0, 0, 0, 0, 0, 30], {}, Reason.GEOMETRIC_LIMIT),
        (BetaBinomial, [0, 0], {"total_count": 3.0}, Reason.ALL_ZERO),
        (BetaBinomial, [3, 3], {"total_count": 3.0}, Reason.ALL_AT_UPPER_END),
        (BetaBinomial, [0, 3, 3], {"total_count": 3.0}, Reason.ALL_AT_BOTH_ENDS),
        (BetaBinomial, [1, 0, 1], {"total_count": 1.0}, Reason.ONE_PROBABILITY),
        (BetaBinomial, [2, 3, 2], {"total_count": 5.0}, Reason.ONE_PROBABILITY),
        (BetaBinomial, [2, 3, 2], {}, Reason.UNKNOWN_TOTAL_COUNT),
        (BetaNegativeBinomial, [0, 0], {"total_count": 1.0}, Reason.ALL_ZERO),
        (BetaNegativeBinomial, [2, 3, 2], {"total_count": 1.0}, Reason.ONE_PROBABILITY),
        (BetaNegativeBinomial, [2, 3, 2], {}, Reason.UNKNOWN_TOTAL_COUNT),
    ],
)
def test_there_is_no_maximum_and_it_says_why(family, data, known, reason):
    assert family.try_fit(np.array(data, float), **known)[1].reason == reason


def test_geometric_limit_holds_the_geometric_fit():
    data = np.array([0, 0, 0, 0, 0, 0, 30.0])
    fit, outcome = ConwayMaxwellPoisson.try_fit(data)
    assert not outcome.ok
    np.testing.assert_allclose(fit.log_prob(data), Geometric.fit(data).log_prob(data), rtol=1e-5)


def test_conway_maxwell_poisson_refuses_an_endless_sum():
    with pytest.raises(ValueError, match="rate must be below 1"):
        ConwayMaxwellPoisson(1.0, 0.0)
