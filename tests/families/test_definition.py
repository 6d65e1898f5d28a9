"""The definition of a family, run over every family: tests are named after the identities that they check."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from tests.families.registry import CASES, COSTLY, NODES, PAIRS, by_family, grouped, nodes

from surprax.families import FAMILIES, Distribution, ExponentialFamily, LogLomax, Pareto, Uniform, UniformPareto
from surprax.families.fitting import FEW

EXPONENTIAL = [c for c in CASES if isinstance(c.make(), ExponentialFamily)]
every = pytest.mark.parametrize("case", grouped(CASES, lambda c: c))
each = pytest.mark.parametrize("case", grouped(CASES, lambda c: c, slow=COSTLY))
each_exponential = pytest.mark.parametrize("case", grouped(EXPONENTIAL, lambda c: c, slow=COSTLY))
EXPONENTIAL_PAIRS = [p for p in PAIRS if isinstance(p[0].make(), ExponentialFamily)]
# The divergence of LogLomax is that of Lomax, in another variable.
each_pair = pytest.mark.parametrize("pair", grouped(PAIRS, lambda p: p[0], slow=COSTLY | {"LogLomax"}))

# What the base classes do alike for every family, and slopes by JAX, are tried for these, and for all others in thorough runs.
USUAL = ("Normal", "Gamma", "Weibull", "Bernoulli", "Poisson")
usual = pytest.mark.parametrize("case", grouped(CASES, lambda c: c, *USUAL))
usual_exponential = pytest.mark.parametrize("case", grouped(EXPONENTIAL, lambda c: c, *USUAL))

SUMMED = frozenset({"BetaBinomial", "BetaNegativeBinomial", "ConwayMaxwellPoisson"})
"""Families whose tails are sums, which `test_counts.py` holds against the sums over all numbers."""
MAPPED = frozenset({"Chi", "ChiSquared", "GeneralizedBetaPrime", "InverseGamma", "LogStudentT"})
"""Families whose tails and draws are those of a gamma, beta or Student law, in another variable."""


@jax.jit
def slope_in_x(d, x):
    return jax.vmap(jax.grad(lambda v: d.log_prob(v)))(x)


@jax.jit
def slope_of_cdf(d, x):
    return jax.vmap(jax.grad(lambda v: d.cdf(v)))(x)


@jax.jit
def slope_in_parameters(d, x):
    return jax.grad(lambda d: jnp.sum(d.log_prob(x)))(d)


@jax.jit
def slope_of_kl(d, q):
    return jax.grad(lambda q: d.kl(q))(q)


@jax.jit
def slope_of_log_normalizer(d):
    return jax.grad(lambda eta: rebuilt(d, eta).log_normalizer)(d.natural)


@jax.jit
def curvature_of_log_normalizer(d):
    return jax.hessian(lambda eta: rebuilt(d, eta).log_normalizer)(d.natural)


@jax.jit
def log_prob_in_vmap(d, x):
    return jax.vmap(d.log_prob)(x)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def points(case, tail=1e-6):
    """Forty points spread over the distribution by its quantiles, as SciPy has them; always forty, to share compiled code.

    (An odd number would put one on the median, where a Laplace density has its kink.)
    """
    return case.scipy.ppf(np.linspace(tail, 1 - tail, 40))


def draws(case):
    """Draws of a number that tests share, with each other and with the nodes of integrals."""
    return np.asarray(case.make().sample(jax.random.key(7), (NODES,)), np.float64)


def forty(*values):
    """These values, and then the last of them until there are forty, to share compiled code."""
    return np.append(np.asarray(values, np.float64), np.full(40 - len(values), values[-1], np.float64))


def close(a, b, rtol=1e-9, atol=1e-12):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def known_of(d):
    return {name: getattr(d, name) for name in d.known_parameters}


def rebuilt(d, eta):
    return type(d).from_natural(eta, **known_of(d))


def test_every_family_has_cases():
    assert set(by_family()) == {f for f in FAMILIES.values() if not f.event_dim}


# The density.


@every
def test_log_density_is_scipys(case):
    x = points(case)
    theirs = (case.scipy.logpmf if case.make().discrete else case.scipy.logpdf)(x)
    close(case.make().log_prob(x), theirs, rtol=1e-8, atol=1e-8)


@each
def test_density_integrates_to_one(case):
    x, w = nodes(case)
    close(np.sum(w * np.exp(case.make().log_prob(x))), 1.0, rtol=1e-8)


@every
def test_impossible_is_infinitely_surprising(case):
    d = case.make()
    s = d.support
    outside = [v for v in (np.asarray(s.lower) - 1.0, np.asarray(s.upper) + 1.0) if np.isfinite(v)]
    outside += [0.5] if d.discrete else []
    if outside:
        assert np.all(np.asarray(d.surprise(forty(*outside))) == np.inf)
    assert np.all(np.isnan(d.log_prob(forty(np.nan))))


@every
def test_surprise_is_minus_log_density_in_any_unit(case):
    d, x = case.make(), points(case)
    close(d.surprise(x, "bit") * np.log(2), -np.asarray(d.log_prob(x)))


@usual
def test_gradient_of_log_density_is_its_slope(case):
    d, x = case.make(), points(case, 0.1)
    if d.discrete:
        return
    h = 1e-5 * (case.scipy.ppf(0.75) - case.scipy.ppf(0.25))
    finite = (np.asarray(d.log_prob(x + h)) - np.asarray(d.log_prob(x - h))) / (2 * h)
    close(slope_in_x(d, x), finite, rtol=1e-4, atol=1e-8 / h)


@each
def test_gradient_in_parameters_is_the_finite_difference(case):
    d, x = case.make(), points(case, 0.1)
    exact = slope_in_parameters(d, x)
    for name in d.parameters:
        leaf = np.asarray(getattr(d, name))
        if name == "total_count" or leaf.ndim:
            continue
        h = 1e-5 * max(abs(float(leaf)), 0.1)
        up, down = (
            type(d)._of(**{**{n: getattr(d, n) for n in d.parameters}, name: leaf + t}).log_prob(x) for t in (h, -h)
        )
        slope = np.sum(np.asarray(up) - np.asarray(down)) / (2 * h)
        rounding = 1e-15 * np.sum(np.abs(np.asarray(up))) / h
        if np.isfinite(slope):
            close(getattr(exact, name), slope, rtol=2e-5, atol=1e-6 + 4 * rounding)


# The distribution function.


@pytest.mark.parametrize("case", grouped(CASES, lambda c: c, slow=SUMMED | MAPPED))
def test_log_cdf_and_log_sf_are_scipys(case):
    d, x = case.make(), points(case)
    close(d.log_cdf(x), case.scipy.logcdf(x), rtol=1e-7, atol=1e-9)
    close(d.log_sf(x), case.scipy.logsf(x), rtol=1e-7, atol=1e-9)
    close(d.cdf(x) + d.sf(x), np.ones(len(x)), rtol=1e-9)
    ends = d.cdf(forty(-np.inf, np.inf)), d.sf(forty(np.inf))
    assert (float(ends[0][0]), float(ends[0][1]), float(ends[1][0])) == (0.0, 1.0, 0.0)


@each
def test_quantile_inverts_the_cdf(case):
    d = case.make()
    p = forty(0.0, 1.0, 1.5, -0.5, np.nan, 1e-10, 1e-3, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999)
    x = np.asarray(d.icdf(p))
    assert x[0] == d.support.lower
    assert x[1] == d.support.upper
    assert np.all(np.isnan(x[2:5]))
    inner = slice(5, None)
    if d.discrete:
        assert np.all(np.asarray(d.cdf(x))[inner] >= p[inner] * (1 - 1e-10))
        below = np.where(x > d.support.lower, np.asarray(d.cdf(x - 1)), 0.0)
        assert np.all(below[inner] < p[inner] * (1 + 1e-10))
    else:
        close(d.cdf(x)[inner], p[inner], rtol=1e-8)
        close(d.sf(d.isf(p))[inner], p[inner], rtol=1e-8)


@usual
def test_slope_of_the_cdf_is_the_density(case):
    d = case.make()
    if d.discrete:
        return
    x = points(case, 0.1)
    close(slope_of_cdf(d, x), np.exp(d.log_prob(x)), rtol=1e-6)


# Moments and information.


@every
def test_moments_are_scipys(case):
    d = case.make()
    mean, variance = (float(v) for v in case.scipy.stats("mv"))
    if np.isfinite(mean):
        close(d.mean, mean, rtol=1e-8, atol=1e-10)
    else:
        assert not np.isfinite(d.mean)
    if np.isfinite(variance):
        close(d.variance, variance, rtol=1e-8, atol=1e-10)
    else:
        assert not np.isfinite(d.variance)


@each
def test_density_is_greatest_at_the_mode(case):
    d = case.make()
    x = points(case)
    assert np.all(np.asarray(d.log_prob(x)) <= float(d.log_prob(forty(float(d.mode)))[0]) + 1e-9)


@each
def test_entropy_is_expected_surprise(case):
    d = case.make()
    x, w = nodes(case)
    s = np.asarray(d.surprise(x))
    weight = w * np.exp(-s)
    close(d.entropy(), np.sum(np.where(weight > 0, weight * np.where(weight > 0, s, 0), 0)), rtol=1e-7, atol=1e-8)
    close(d.entropy("bit") * np.log(2), d.entropy())


@each_pair
def test_kl_is_expected_difference_of_surprise(pair):
    p, q = (c.make() for c in pair)
    x, w = nodes(pair[0], float(pair[1].scipy.median()))
    log_p, log_q = np.asarray(p.log_prob(x)), np.asarray(q.log_prob(x))
    weight = w * np.exp(log_p)
    positive = weight > 0
    truth = np.sum(weight[positive] * (log_p - log_q)[positive])
    got = float(p.kl(q))
    if np.isfinite(truth) and np.isfinite(got):
        close(got, truth, rtol=1e-6, atol=1e-8)
    else:
        assert got == np.inf
    close(p.cross_entropy(q), p.entropy() + p.kl(q))


@each
def test_kl_to_itself_is_zero(case):
    d = case.make()
    close(d.kl(d), 0.0, atol=1e-12)


@usual
def test_kl_to_itself_is_flat(case):
    d = case.make()
    if isinstance(d, Uniform | Pareto | LogLomax | UniformPareto):
        return  # its KL is infinite on one side of zero: there is no slope
    for slope in jax.tree.leaves(slope_of_kl(d, d)):
        close(slope, np.zeros_like(slope), atol=1e-6)


@each
def test_traced_parameters_out_of_their_domain_give_nan(case):
    """Never a number, and never minus infinity: an optimiser that has left the domain must not be led further away."""
    good = case.make()
    x = points(case)
    for name, meta in good.parameters.items():
        value = np.asarray(getattr(good, name), np.float64)
        for bad in (-1.0, np.nan):
            if np.all(meta["constraint"].holds(np.full_like(value, bad))):
                continue
            d = jax.tree.map(jnp.asarray, good)
            object.__setattr__(d, name, jnp.full_like(value, bad))
            answers = probed(d, good, x)
            assert all(np.all(np.isnan(leaf)) for leaf in jax.tree.leaves(answers)), (name, bad, answers)


def probed(d, good, x):
    """Whatever depends on every parameter. (Methods are compiled: inside, parameters are traced, and unchecked.)"""
    return {
        "log_prob": d.log_prob(x),
        "log_cdf": d.log_cdf(x),
        "log_sf": d.log_sf(x),
        "kl": d.kl(good),
        "kl to": good.kl(d),
    }


# Samples.


@pytest.mark.parametrize("case", grouped(CASES, lambda c: c, slow=MAPPED))
def test_samples_follow_the_distribution(case):
    d = case.make()
    x = draws(case)
    assert np.all(d.support.contains(x))
    if not d.discrete:
        assert st.kstest(x, case.scipy.cdf).pvalue > 1e-4
        return
    # Randomised probability transform of a discrete variable is uniform.
    u = np.random.default_rng(0).uniform(size=x.size)
    assert st.kstest(case.scipy.cdf(x - 1) + u * case.scipy.pmf(x), "uniform").pvalue > 1e-4


# JAX.


@usual
def test_batch_is_loop_and_vmap(case):
    d, x = case.make(), points(case)
    one = [float(d.log_prob(v)) for v in x]
    close(d.log_prob(x), one)
    close(log_prob_in_vmap(d, x), one)
    batch = jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * 3), d)
    assert batch.batch_shape == (3,)
    close(batch.log_prob(x[:, None]), np.array(one)[:, None] * np.ones(3))
    close(batch[1].log_prob(x), one)
    shapes = jax.eval_shape(lambda b: (b.mean, b.variance, b.mode, b.entropy(), b.kl(d), b.kl(b)), batch)
    assert all(s.shape == (3,) for s in shapes)
    assert jax.eval_shape(lambda b: b.sample(jax.random.key(0), (5,)), batch).shape == (5, 3)


@every
def test_pytree_round_trip(case):
    d = case.make()
    leaves, structure = jax.tree.flatten(d)
    again = jax.tree.unflatten(structure, leaves)
    assert repr(again) == repr(d)
    assert [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(d)] == [
        f".{n}" for n in d.parameters
    ]


@usual
def test_float32_is_float64_rounded(case):
    d, x = case.make(), points(case).astype(np.float32)
    exact = np.asarray(d.log_prob(x.astype(np.float64)))
    slope = 0.0 if d.discrete else np.abs(np.asarray(slope_in_x(d, x.astype(np.float64))))
    with jax.enable_x64(False):
        single = d.log_prob(x)
        assert single.dtype == jnp.float32
    allowed = 16 * np.finfo(np.float32).eps * (1 + np.abs(exact) + np.abs(slope * x))
    assert np.all(np.abs(np.asarray(single, np.float64) - exact) <= allowed)


@every
def test_nan_parameters_give_nan(case):
    d = case.make()
    x = points(case)
    for name in d.parameters:
        broken = type(d)._of(
            **{n: np.full(np.shape(getattr(d, n)), np.nan) if n == name else getattr(d, n) for n in d.parameters}
        )
        assert np.all(np.isnan(broken.log_prob(x)))


# The exponential family.


@each_exponential
def test_log_density_is_linear_in_the_statistics(case):
    d, x = case.make(), points(case)
    linear = jnp.sum(d.natural[None] * d.sufficient_statistics(x), axis=-1) - d.log_normalizer + d.log_base_measure(x)
    scale = np.max(np.abs(np.asarray(d.natural[None] * d.sufficient_statistics(x))), axis=-1) + np.abs(
        float(d.log_normalizer)
    )
    assert np.all(np.abs(np.asarray(d.log_prob(x) - linear)) <= 1e-13 * (10 + scale) * 4)


@each_exponential
def test_natural_and_expectation_parameters_go_round(case):
    d = case.make()
    for again in (rebuilt(d, d.natural), type(d).from_expectation(d.expectation, **known_of(d))):
        for ours, theirs in zip(jax.tree.leaves(d), jax.tree.leaves(again)):
            close(theirs, np.broadcast_to(ours, np.shape(theirs)), rtol=1e-6, atol=1e-9)


@each_exponential
def test_gradient_of_the_log_normalizer_is_the_mean_of_the_statistics(case):
    d = case.make()
    close(slope_of_log_normalizer(d), d.expectation, rtol=1e-7, atol=1e-9)
    x, w = nodes(case)
    pdf = w * np.exp(np.asarray(d.log_prob(x)))
    close(pdf @ np.asarray(d.sufficient_statistics(x)), d.expectation, rtol=1e-6, atol=1e-8)


@each_exponential
def test_hessian_of_the_log_normalizer_is_the_fisher_information(case):
    d = case.make()
    fisher = np.asarray(d.fisher_information())
    scale = np.sqrt(np.outer(np.diag(fisher), np.diag(fisher)))
    hessian = np.asarray(curvature_of_log_normalizer(d))
    close(hessian / scale, fisher / scale, rtol=1e-5, atol=1e-5)
    assert np.all(np.linalg.eigvalsh(fisher / scale) > 0)


@each_exponential
def test_fit_has_the_statistics_of_the_data(case):
    d = case.make()
    x = draws(case)
    known = known_of(d)
    evidence = type(d).evidence(x, **known)
    if not type(d).try_fit(evidence)[1].ok:
        return
    fit = evidence.fit()
    statistics = np.asarray(d.sufficient_statistics(x)).mean(axis=0)
    close(fit.expectation, statistics, rtol=1e-8, atol=1e-9)
    close(evidence.log_likelihood(fit), np.sum(np.asarray(fit.log_prob(x))), rtol=1e-10)
    close(evidence.log_likelihood(d), np.sum(np.asarray(d.log_prob(x))), rtol=1e-10)


@each_exponential
def test_product_of_likelihoods_is_sum_of_evidence(case):
    d = case.make()
    x = draws(case)
    E = lambda rows: type(d).evidence(rows, **known_of(d))
    first, second, third, fourth = (E(rows) for rows in np.split(x, 4))
    whole, parts = E(x), fourth + (first + (third + second))
    for name, value in whole._arrays().items():
        if name != "values":
            close(
                parts._arrays()[name],
                value,
                rtol=1e-12,
                atol=1e-12 * max(1.0, float(np.max(np.abs(value), initial=0.0))),
            )
    rest = whole - first
    close(rest.log_likelihood(d), np.sum(np.asarray(d.log_prob(x))[len(x) // 4 :]), rtol=1e-9)
    close((whole * 2.0).log_likelihood(d), 2 * np.asarray(whole.log_likelihood(d)))


@pytest.mark.parametrize("pair", grouped(EXPONENTIAL_PAIRS, lambda p: p[0], "Normal", "Gamma", "Bernoulli", "Binomial"))
def test_renyi_divergence_is_its_integral(pair):
    p, q = (c.make() for c in pair)
    if known_of(p) != known_of(q):
        return
    x, w = nodes(pair[0], float(pair[1].scipy.median()))
    log_p, log_q = np.asarray(p.log_prob(x)), np.asarray(q.log_prob(x))
    inside = (log_p > -np.inf) & (log_q > -np.inf)
    overlap = np.sum((w * np.exp(0.5 * (np.where(inside, log_p, 0) + np.where(inside, log_q, 0))))[inside])
    # What the nodes leave out of q's tail is at most √1e-16.
    divergences = np.asarray(p.renyi(q, np.array([0.5, 1.0 - 1e-8, 1.0, 1.0 + 1e-8])))
    close(np.exp(-0.5 * divergences[0]), overlap, rtol=1e-6, atol=1e-7)
    close(divergences[2], p.kl(q))
    # It grows with its order, at 1 by half the variance of the log ratio, which may be thousands.
    assert divergences[1] <= divergences[2] * (1 + 1e-9) + 1e-9
    close(0.5 * (divergences[1] + divergences[3]), p.kl(q), rtol=1e-6, atol=1e-9)


@usual_exponential
def test_natural_gradient_undoes_the_fisher_information(case):
    d = case.make()
    fisher = np.asarray(d.fisher_information())
    step = 1.0 / np.sqrt(np.diag(fisher))
    close(d.fisher_solve(fisher @ step) / step, np.ones(len(step)), rtol=1e-6)


@usual_exponential
def test_expectations_that_no_member_has_are_told(case):
    d = case.make()
    both = np.stack([np.asarray(d.expectation), np.full(np.shape(d.expectation), np.nan)])
    again, outcome = type(d).try_from_expectation(both, **known_of(d))
    assert outcome.ok.tolist() == [True, False]
    assert all(np.isnan(leaf[1]).all() for n, leaf in vars(again).items() if n not in known_of(d))


def test_every_public_method_has_a_docstring():
    for name, member in vars(Distribution).items():
        if not name.startswith("_") and (callable(member) or isinstance(member, property)):
            assert member.__doc__, name


@pytest.mark.parametrize("case", grouped([cases[0] for cases in by_family().values()], lambda c: c, *USUAL))
def test_log_likelihood_of_many_rows_in_float32(case):
    with jax.enable_x64(False):
        d = case.make()
        x = np.asarray(d.sample(jax.random.key(2), (FEW + 5_000,)), np.float32)
        rows = np.asarray(d.log_prob(x), np.float64)
        value = float(d.log_likelihood(x))
    np.testing.assert_allclose(value, np.sum(rows), rtol=0, atol=3e-7 * np.sum(np.abs(rows)))
