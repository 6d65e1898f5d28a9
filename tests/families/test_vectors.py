"""The definition of a family of vectors or matrices, run over every such family: the identities of `test_definition.py`."""

import functools
import importlib
import itertools
from collections import defaultdict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.families.registry import grouped

from surprax.families import FAMILIES, ExponentialFamily

_MODULES = sorted(path.stem for path in Path(__file__).parent.glob("vector_cases_*.py"))
CASES = [c for name in _MODULES for c in importlib.import_module(f"tests.families.{name}").CASES]
"""Every family of vectors or matrices at a few settings of its parameters."""


def _by_family(cases):
    groups = defaultdict(list)
    for case in cases:
        d = case.make()
        groups[type(d), d.event_shape].append(case)
    return groups


PAIRS = [pair for cases in _by_family(CASES).values() for pair in itertools.pairwise(cases)]
"""Neighbours within a family, of observations of one shape."""
MANY = 20_000


EXPONENTIAL = [c for c in CASES if isinstance(c.make(), ExponentialFamily)]

# What is the same for every family is tried for these, and for all others in thorough runs.
USUAL = ("MultivariateNormal", "Multinomial")
_SHAPES = {type(case.make()): case.make().event_shape for case in reversed(CASES)}


TURNED = frozenset({"NormalGamma", "NormalWishart"})
"""Families that are others but for an inverse, with precisions for variances: all but their densities in thorough runs."""


def of_first_shape(items, first, *quick, slow=frozenset()):
    """Parameters of a test; all but the first shape of a family, for which all is compiled anew, in thorough runs only."""

    def parameter(item, p):
        d = first(item).make()
        further = d.event_shape != _SHAPES[type(d)]
        return pytest.param(*p.values, id=p.id, marks=[*p.marks, pytest.mark.thorough]) if further else p

    return [parameter(item, p) for item, p in zip(items, grouped(items, first, *quick, slow=slow), strict=True)]


each_shape = pytest.mark.parametrize("case", grouped(CASES, lambda c: c))
each = pytest.mark.parametrize("case", of_first_shape(CASES, lambda c: c, slow=TURNED))
each_exponential = pytest.mark.parametrize("case", of_first_shape(EXPONENTIAL, lambda c: c, slow=TURNED))
each_pair = pytest.mark.parametrize("pair", of_first_shape(PAIRS, lambda p: p[0], slow=TURNED))
usual = pytest.mark.parametrize("case", of_first_shape(CASES, lambda c: c, *USUAL))
usual_exponential = pytest.mark.parametrize("case", of_first_shape(EXPONENTIAL, lambda c: c, *USUAL))


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@functools.cache
def many(case):
    """Draws of a number that tests share, as they share what is compiled for it; so is the number of those that they take of it."""
    return np.asarray(case.make().sample(jax.random.key(7), (MANY,)), np.float64)


def few(case, start=0):
    return many(case)[start : start + 8]


@jax.jit
def log_prob_in_vmap(d, x):
    return jax.vmap(d.log_prob)(x)


@jax.jit
def log_prob_of_batch_in_vmap(batch, x):
    return jax.vmap(lambda d: d.log_prob(x))(batch)


@jax.jit
def log_prob_in_scan(d, x):
    return jax.lax.scan(lambda d, v: (d, d.log_prob(v)), d, x)[1]


def close(a, b, rtol=1e-9, atol=1e-12):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def known_of(d):
    return {name: getattr(d, name) for name in d.known_parameters}


def rebuilt(d, eta):
    return type(d).from_natural(eta, **known_of(d))


def has(d, method):
    return method not in d.lacks


@jax.jit
def slope_of_log_normalizer(d):
    return jax.grad(lambda eta: rebuilt(d, eta).log_normalizer)(d.natural)


@jax.jit
def curvature_of_log_normalizer(d):
    return jax.hessian(lambda eta: rebuilt(d, eta).log_normalizer)(d.natural)


@jax.jit
def slopes(d, x):
    return jax.grad(lambda d: jnp.sum(d.log_prob(x)))(d), jax.grad(lambda x: jnp.sum(d.log_prob(x)))(x)


def test_every_family_of_vectors_has_cases():
    assert {cls for cls, _ in _by_family(CASES)} >= {f for f in FAMILIES.values() if f.event_dim}


@each_shape
def test_log_density_is_scipys(case):
    if case.scipy is None:
        return
    log_density = case.scipy.logpmf if hasattr(case.scipy, "logpmf") else case.scipy.logpdf
    x = few(case)
    close(case.make().log_prob(x), [float(log_density(v)) for v in x], rtol=1e-8, atol=1e-8)


@each
def test_shapes(case):
    d = case.make()
    x = jax.eval_shape(lambda: d.sample(jax.random.key(0), (4, 3)))
    assert x.shape == (4, 3, *d.event_shape)
    assert jax.eval_shape(d.log_prob, x).shape == (4, 3)
    assert np.all(np.isfinite(d.surprise(many(case))))
    for name in ("mean", "variance", "mode"):
        if has(d, name):
            assert getattr(d, name).shape == d.event_shape, name
    with pytest.raises(NotImplementedError, match="has no cdf"):
        d.cdf(few(case))
    with pytest.raises(ValueError, match="observations of shape"):
        d.log_prob(np.zeros((*d.event_shape[:-1], d.event_shape[-1] + 1)))


@each
def test_impossible_is_infinitely_surprising(case):
    d = case.make()
    rows = (8, *d.event_shape)
    assert np.all(np.isnan(d.log_prob(np.full(rows, np.nan))))
    outside = np.full(rows, np.inf)
    outside[1] = 0.5 if type(d).data_support.discrete else np.inf
    assert np.all(np.asarray(d.log_prob(outside)) == -np.inf)


@each
def test_moments_are_those_of_samples(case):
    d, x = case.make(), many(case)
    for name, moment in (("mean", np.mean), ("variance", np.var)):
        if not has(d, name):
            continue
        truth = np.asarray(getattr(d, name))
        if not np.all(np.isfinite(truth)):
            continue
        parts = np.stack([moment(part, axis=0) for part in np.split(x, 20)])
        error = parts.std(axis=0) / np.sqrt(20) + 1e-12
        assert np.all(np.abs(moment(x, axis=0) - truth) <= 6 * error + 0.1 * error.max()), name


@each
def test_mode_is_a_point_of_greatest_density(case):
    d = case.make()
    if not has(d, "mode"):
        return
    at_mode = float(d.log_prob(np.stack([np.asarray(d.mode)] * 8))[0])
    assert not np.isnan(at_mode)
    assert np.all(-np.asarray(d.surprise(many(case))) <= at_mode + 1e-9)


@each
def test_entropy_is_expected_surprise(case):
    d = case.make()
    if not has(d, "entropy"):
        return
    s = np.asarray(d.surprise(many(case)))
    assert abs(s.mean() - float(d.entropy())) <= 6 * s.std() / np.sqrt(len(s)) + 1e-9


@each_pair
def test_kl_is_expected_difference_of_surprise(pair):
    p, q = (c.make() for c in pair)
    if not has(p, "kl"):
        return
    kl = float(p.kl(q))
    x = many(pair[0])
    s = np.asarray(q.surprise(x)) - np.asarray(p.surprise(x))
    if kl == np.inf:
        assert np.any(s == np.inf) or not np.isfinite(s.mean())
        return
    assert abs(s.mean() - kl) <= 6 * s.std() / np.sqrt(len(s)) + 1e-9
    if isinstance(p, ExponentialFamily) and known_of(p) == known_of(q):
        # Bregman: A(η_q) − A(η_p) − ⟨η_q − η_p, E_p T⟩, to the digits that the differences leave in float64.
        step = np.asarray(q.natural - p.natural)
        terms = np.array([float(q.log_normalizer), -float(p.log_normalizer), *(-step * np.asarray(p.expectation))])
        close(kl, terms.sum(), rtol=1e-9, atol=1e-12 * np.abs(terms).sum() + 1e-12)
    close(p.cross_entropy(q), p.entropy() + p.kl(q))


@each
def test_kl_to_itself_is_zero(case):
    d = case.make()
    if has(d, "kl"):
        close(d.kl(d), 0.0, atol=1e-12)


@each
def test_gradients_are_finite_differences(case):
    d, x = case.make(), few(case)
    in_parameters, in_x = slopes(d, x)
    direction = np.random.default_rng(0).normal(size=x.shape)
    for leaf in jax.tree.leaves(in_parameters):
        assert np.all(np.isfinite(leaf))
    if not type(d).data_support.discrete and type(d).data_support.name.startswith("vectors of finite"):
        h = 1e-6
        finite = (np.asarray(d.log_prob(x + h * direction)) - np.asarray(d.log_prob(x - h * direction))).sum() / (2 * h)
        close(np.sum(np.asarray(in_x) * direction), finite, rtol=1e-5, atol=1e-5)


@usual
def test_batch_is_loop_and_vmap(case):
    d, x = case.make(), few(case)
    one = [float(d.log_prob(v)) for v in x]
    close(d.log_prob(x), one)
    close(log_prob_in_vmap(d, x), one)
    batch = jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * 3), d)
    assert batch.batch_shape == (3,)
    close(batch.log_prob(x[:, None]), np.array(one)[:, None] * np.ones(3))
    close(batch[1].log_prob(x), one)
    close(log_prob_of_batch_in_vmap(batch, x)[1], one)
    drawn = jax.eval_shape(lambda b: b.sample(jax.random.key(0), (5,)), batch)
    assert drawn.shape == (5, 3, *d.event_shape)
    # Vectors of a batch may share a parameter that is one number.
    leaves = {n: getattr(batch if m["event_dim"] else d, n) for n, m in d.parameters.items()}
    mixed = type(d)._of(**leaves) if any(m["event_dim"] for m in d.parameters.values()) else batch
    for b in (batch, mixed):
        assert jax.eval_shape(lambda b: b.log_prob(x[:, None]), b).shape == (8, 3)
        for name in ("mean", "variance", "mode"):
            if has(d, name):
                assert jax.eval_shape(lambda b, n=name: getattr(b, n), b).shape == (3, *d.event_shape)
        if isinstance(d, ExponentialFamily):
            size = d.natural.shape[-1]
            assert jax.eval_shape(lambda b: b.natural, b).shape == (3, size)
            assert jax.eval_shape(lambda b: b.fisher_information(), b).shape == (3, size, size)


@usual
def test_scan_and_pytree_round_trip(case):
    d, x = case.make(), few(case)
    leaves, structure = jax.tree.flatten(d)
    assert repr(jax.tree.unflatten(structure, leaves)) == repr(d)
    close(log_prob_in_scan(jax.tree.map(jnp.asarray, d), x), d.log_prob(x))


@each
def test_float32_is_float64_rounded(case):
    d = case.make()
    x = few(case).astype(np.float32)
    with jax.enable_x64(False):
        single = np.asarray(d.log_prob(x), np.float64)
        x = np.asarray(x)
    moved = np.abs(np.asarray(slopes(d, x.astype(np.float64))[1]) * x).reshape(len(x), -1).sum(axis=1)
    exact = np.asarray(d.log_prob(x.astype(np.float64)))
    allowed = 16 * np.finfo(np.float32).eps * (1 + np.abs(exact) + moved)
    assert np.all(np.abs(single - exact) <= allowed), (single, exact, allowed)


@each
def test_nan_parameters_give_nan(case):
    d = case.make()
    spoilt = jax.tree.map(lambda leaf: np.full(np.shape(leaf), np.nan), d)
    assert np.all(np.isnan(spoilt.log_prob(few(case))))


@each
def test_fit_is_where_the_likelihood_is_level(case):
    d = case.make()
    if not has(d, "fit") or isinstance(d, ExponentialFamily) or d.known_parameters:
        return
    x = many(case)[:300]
    fit, outcome = type(d).try_fit(x)
    assert np.all(outcome.ok), str(outcome)
    for leaf, slope in zip(jax.tree.leaves(fit), jax.tree.leaves(slopes(fit, x)[0]), strict=True):
        slope = np.tril(slope) if np.ndim(slope) == 2 else np.asarray(slope)  # of a factor, only what is free
        assert np.max(np.abs(slope)) * np.max(np.abs(leaf)) <= 1e-5 * len(x)


# The exponential family.


@each_exponential
def test_log_density_is_linear_in_the_statistics(case):
    d, x = case.make(), few(case)
    eta, statistics = np.asarray(d.natural), np.asarray(d.sufficient_statistics(x))
    linear = statistics @ eta - float(d.log_normalizer) + np.asarray(d.log_base_measure(x))
    scale = np.abs(statistics) @ np.abs(eta) + abs(float(d.log_normalizer)) + 10
    assert np.all(np.abs(np.asarray(d.log_prob(x)) - linear) <= 1e-12 * scale)


@usual_exponential
def test_natural_and_expectation_parameters_go_round(case):
    d = case.make()
    again = [rebuilt(d, d.natural)]
    if has(d, "from_expectation"):
        again.append(type(d).from_expectation(d.expectation, **known_of(d)))
    for other in again:
        for ours, theirs in zip(jax.tree.leaves(d), jax.tree.leaves(other), strict=True):
            close(theirs, np.broadcast_to(ours, np.shape(theirs)), rtol=1e-6, atol=1e-8)


@each_exponential
def test_gradient_of_the_log_normalizer_is_the_mean_of_the_statistics(case):
    d = case.make()
    close(slope_of_log_normalizer(d), d.expectation, rtol=1e-7, atol=1e-9)
    statistics = np.asarray(d.sufficient_statistics(many(case)))
    error = statistics.std(axis=0) / np.sqrt(len(statistics))
    assert np.all(np.abs(statistics.mean(axis=0) - np.asarray(d.expectation)) <= 6 * error + 1e-9)


@usual_exponential
def test_hessian_of_the_log_normalizer_is_the_fisher_information(case):
    d = case.make()
    fisher = np.asarray(d.fisher_information())
    scale = np.sqrt(np.outer(np.diag(fisher), np.diag(fisher)))
    close(np.asarray(curvature_of_log_normalizer(d)) / scale, fisher / scale, rtol=1e-5, atol=1e-5)
    assert np.all(np.linalg.eigvalsh(fisher / scale) > 0)
    v = np.random.default_rng(1).normal(size=fisher.shape[-1]) * np.sqrt(np.diag(fisher))
    close(fisher @ np.asarray(d.fisher_solve(v)), v, rtol=1e-5, atol=1e-6 * np.abs(v).max())


@each_exponential
def test_fit_has_the_statistics_of_the_data(case):
    d = case.make()
    if not has(d, "fit"):
        return
    x = many(case)[:300]
    evidence = type(d).evidence(x, **known_of(d))
    fit, outcome = type(d).try_fit(evidence)
    assert np.all(outcome.ok), str(outcome)
    statistics = np.asarray(d.sufficient_statistics(x)).mean(axis=0)
    close(fit.expectation, statistics, rtol=1e-6, atol=1e-7)
    close(evidence.statistics(), statistics, rtol=1e-9, atol=1e-9)
    close(evidence.log_likelihood(fit), np.sum(np.asarray(fit.log_prob(x))), rtol=1e-9)
    close(evidence.log_likelihood(d), np.sum(np.asarray(d.log_prob(x))), rtol=1e-9)
    assert float(evidence.excess_surprise(d)) >= 0


@usual_exponential
def test_product_of_likelihoods_is_sum_of_evidence(case, tmp_path):
    d = case.make()
    if not has(d, "fit"):
        return
    x = many(case)[:300]
    E = lambda rows, **more: type(d).evidence(rows, **known_of(d), **more)
    whole, parts = E(x), E(x[200:]) + (E(x[:50]) + E(x[50:200]))
    for name, value in whole._arrays().items():
        scale = max(1.0, float(np.max(np.abs(value), initial=0.0)))
        close(parts._arrays()[name], value, rtol=1e-11, atol=1e-12 * scale)
    rest = whole - E(x[:50])
    close(rest.log_likelihood(d), E(x[50:]).log_likelihood(d), rtol=1e-8)
    close((whole * 2.0).log_likelihood(d), 2 * np.asarray(whole.log_likelihood(d)))
    groups = E(x, by=np.arange(300) % 3)
    close(groups[1].log_likelihood(d), E(x[1::3]).log_likelihood(d), rtol=1e-9)
    close(groups.total().log_likelihood(d), whole.log_likelihood(d), rtol=1e-9)
    whole.save(tmp_path / "evidence.json")
    close(type(whole).load(tmp_path / "evidence.json").log_likelihood(d), whole.log_likelihood(d))
    with pytest.raises(ValueError, match="Subtract only what was added"):
        _ = E(x[:50]) - whole


@usual_exponential
def test_weights_are_repetitions(case):
    d = case.make()
    if not has(d, "fit"):
        return
    x = many(case)[:40]
    weights = np.arange(40) % 3
    weighted = type(d).evidence(x, weights.astype(float), **known_of(d))
    close(
        weighted.log_likelihood(d),
        type(d).evidence(np.repeat(x, weights, axis=0), **known_of(d)).log_likelihood(d),
        1e-9,
    )


@pytest.mark.parametrize("pair", grouped(PAIRS, lambda p: p[0], "MultivariateNormal"))
def test_renyi_divergence_of_order_one_half(pair):
    p, q = (c.make() for c in pair)
    if not isinstance(p, ExponentialFamily) or not has(p, "kl") or known_of(p) != known_of(q):
        return
    # √(pq) is the member half-way between, times what is asked for: the same at every point.
    x = many(pair[0])
    between = rebuilt(p, 0.5 * (p.natural + q.natural))
    logs = [np.asarray(d.log_prob(x)) for d in (p, q, between)]
    shortfall = logs[2] - 0.5 * (logs[0] + logs[1])
    close(shortfall, np.full(len(shortfall), p.bhattacharyya(q)), rtol=1e-8, atol=1e-10 * np.max(np.abs(logs)))
    close(p.hellinger(q) ** 2, -np.expm1(-np.asarray(p.bhattacharyya(q))), rtol=1e-6)
    close(p.renyi(q, 1.0), p.kl(q))
