"""Maximum likelihood by passes over the data: the summit is exact, and where there is none it says so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from surprax.families.cauchy import Cauchy
from surprax.families.fitting import fit_sample
from surprax.families.gumbel import Gumbel
from surprax.families.laplace import Laplace
from surprax.families.logistic import Logistic
from surprax.families.outcomes import Reason
from surprax.families.passes import BLOCK, SAMPLE, SORTED, averages, climb, weighted_median
from surprax.families.student_t import StudentT
from surprax.families.uniform import Uniform
from surprax.families.weibull import Weibull

TWINS = {
    Cauchy: (st.cauchy, lambda p: {"loc": p[0], "scale": p[1]}),
    Gumbel: (st.gumbel_r, lambda p: {"loc": p[0], "scale": p[1]}),
    Laplace: (st.laplace, lambda p: {"loc": p[0], "scale": p[1]}),
    Logistic: (st.logistic, lambda p: {"loc": p[0], "scale": p[1]}),
    StudentT: (st.t, lambda p: {"df": p[0], "loc": p[1], "scale": p[2]}),
    Uniform: (st.uniform, lambda p: {"low": p[0], "high": p[0] + p[1]}),
    Weibull: (st.weibull_min, lambda p: {"scale": p[2], "concentration": p[0]}),
}
SMOOTH = (Cauchy, Gumbel, Logistic, StudentT, Weibull)
each_family = pytest.mark.parametrize("family", TWINS, ids=lambda f: f.__name__)
each_smooth = pytest.mark.parametrize("family", SMOOTH, ids=lambda f: f.__name__)


def data(family, rows, seed=0):
    rng = np.random.default_rng(seed)
    if family is Weibull:
        return rng.weibull(10 ** rng.uniform(-1, 2), rows) * 10 ** rng.uniform(-3, 3)
    x = {
        Cauchy: rng.standard_cauchy,
        Gumbel: rng.gumbel,
        Laplace: rng.laplace,
        Logistic: rng.logistic,
        StudentT: lambda size: rng.standard_t(4.0, size),
        Uniform: rng.uniform,
    }[family](size=rows)
    return 10 * rng.normal() + x * 10 ** rng.uniform(-2, 2)


ROWS = 300
"""Fits are compiled once per number of rows: small data are padded to this one, with weight 0."""


def padded(x, weights=None):
    rest = ROWS - len(x)
    return np.append(x, np.full(rest, 1e3)), np.append(np.ones(len(x)) if weights is None else weights, np.zeros(rest))


def mean_log_likelihood(d, x, weights=None):
    with jax.enable_x64(True):
        return float(np.average(np.asarray(d.log_prob(x)), weights=weights))


def same(a, b, rtol=1e-9):
    for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * 1e-3)


def slopes(d, x, weights=None):
    """Of the mean log-likelihood, in units of each parameter (of the scale, for loc)."""
    with jax.enable_x64(True):
        w = jnp.ones(len(x)) / len(x) if weights is None else jnp.asarray(weights) / np.sum(weights)
        gradient = jax.grad(lambda d: jnp.sum(w * d.log_prob(x)))(jax.tree.map(jnp.asarray, d))
        units = {n: getattr(d, "scale" if n == "loc" else n) for n in d.parameters}
        return np.array([float(getattr(gradient, n) * units[n]) for n in d.parameters])


@each_family
@pytest.mark.parametrize("seed", range(3))
def test_fit_is_at_least_as_likely_as_scipys(family, seed):
    x = data(family, ROWS, seed)
    twin, read = TWINS[family]
    theirs = family(**read(twin.fit(x, floc=0) if family is Weibull else twin.fit(x)))
    ours = family.fit(x)
    assert mean_log_likelihood(ours, x) >= mean_log_likelihood(theirs, x) - 1e-13
    if family is not StudentT:  # which SciPy sometimes leaves far from its maximum
        same(ours, theirs, rtol=1e-3)


@each_smooth
def test_the_likelihood_is_flat_at_its_maximum(family):
    x = data(family, ROWS, seed=1)
    weights = np.random.default_rng(1).exponential(size=ROWS)
    for rows, w in ((x, None), (x, weights), padded(x[:20])):
        fit, outcome = family.try_fit(rows, w)
        assert outcome.ok
        np.testing.assert_allclose(slopes(fit, rows, w), 0.0, atol=1e-10)


@each_smooth
def test_a_millionth_beside_the_maximum_the_likelihood_is_not_flat(family):
    """What the tests of flatness would say of a fit that stopped too early."""
    x = data(family, ROWS, seed=1)
    fit = family.fit(x)
    for name in family.parameters:
        moved = jax.tree.map(lambda leaf: leaf, fit)
        object.__setattr__(moved, name, getattr(fit, name) + 1e-6 * getattr(fit, "scale" if name == "loc" else name))
        assert np.max(np.abs(slopes(moved, x))) > 1e-8, name


@pytest.mark.parametrize("family", [Logistic, Weibull], ids=lambda f: f.__name__)
def test_many_rows_are_fitted_by_way_of_a_sample(family):
    for rows in (5 * SORTED, 4 * SAMPLE + 1001):
        x = data(family, rows)
        np.testing.assert_allclose(slopes(family.fit(x), x), 0.0, atol=1e-10)
        np.testing.assert_allclose(slopes(family.fit(np.sort(x)), x), 0.0, atol=1e-10)


@each_family
def test_weights_count_rows(family):
    x = data(family, ROWS, seed=4)
    counts = np.random.default_rng(2).multinomial(ROWS, np.full(ROWS, 1 / ROWS))
    same(family.fit(x, counts), family.fit(np.repeat(x, counts)))
    # a weight of 0 leaves a row out, however far away it is
    rest, far = np.arange(ROWS) > 0, x.copy()
    far[0] = 1e6 * np.max(np.abs(x))
    same(family.fit(far, rest), family.fit(x, rest))


@each_family
def test_a_fit_moves_with_the_data(family):
    x = data(family, ROWS, seed=5)
    fit, moved = family.fit(x), family.fit(8.0 * x) if family is Weibull else family.fit(8.0 * x + 3.0)
    rules = {
        "loc": lambda v: 8 * v + 3,
        "low": lambda v: 8 * v + 3,
        "high": lambda v: 8 * v + 3,
        "scale": lambda v: 8 * v,
    }
    for name in family.parameters:
        np.testing.assert_allclose(getattr(moved, name), rules.get(name, lambda v: v)(getattr(fit, name)), rtol=1e-8)


@each_family
def test_a_warm_start_leads_to_the_same_summit(family):
    x = data(family, ROWS, seed=6)
    cold = family.fit(x)
    mask = (np.arange(ROWS) % 5 != 0).astype(float)
    warm, outcome = fit_sample(family, x, mask, {}, start=cold)
    assert outcome.ok
    same(warm, family.fit(x, mask))


@pytest.mark.parametrize("family", [Laplace, StudentT, Weibull], ids=lambda f: f.__name__)
def test_fit_of_a_batch_by_vmap_and_of_traced_single_precision(family):
    x = np.stack([data(family, ROWS, seed=9), data(family, ROWS, seed=10)])
    with jax.enable_x64(True):
        fits, outcome = jax.vmap(family.try_fit)(jnp.asarray(x))
    assert np.all(outcome.ok)
    same(fits[1], family.fit(x[1]))
    single, outcome = jax.jit(family.try_fit)(x[0].astype(np.float32))
    assert outcome.ok
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(single))
    same(single, family.fit(x[0]), rtol=2e-3)


# Where there is no maximum.


@each_family
def test_no_data(family):
    for fit, outcome in (family.try_fit([]), family.try_fit(np.ones(ROWS), np.zeros(ROWS))):
        assert outcome.reason is Reason.NO_DATA
        assert not outcome.ok
        del fit
    with pytest.raises(ValueError, match="no observations"):
        family.fit([])


@each_family
def test_equal_observations(family):
    for weights in (None, np.ones(ROWS), padded([2.5])[1]):
        assert family.try_fit(np.full(ROWS, 2.5), weights)[1].reason is Reason.ALL_SAME
    with pytest.raises(ValueError, match="all observations are equal"):
        family.fit([2.5] * ROWS)


def test_cauchy_refuses_data_half_of_which_are_equal():
    assert Cauchy.try_fit(*padded([0.0, 0.0, 1.0, 5.0]))[1].reason is Reason.POINT_MASS
    assert Cauchy.try_fit(*padded([0.0, 0.0, 1.0, 5.0, 7.0]))[1].ok
    assert Cauchy.try_fit(*padded([0.0, 3.0, 1.0, 5.0], [2.0, 0.5, 0.75, 0.75]))[1].reason is Reason.POINT_MASS
    x = np.concatenate([np.zeros(6000), np.random.default_rng(0).normal(size=6000)])
    assert Cauchy.try_fit(x)[1].reason is Reason.POINT_MASS
    assert Cauchy.try_fit(np.where(np.arange(12000) == 0, 1.0, x))[1].ok


def test_student_refuses_light_tails_and_point_masses():
    rng = np.random.default_rng(3)
    for x in (rng.uniform(size=ROWS), [0.0, 1.0], [0.0, 1.0, 2.0]):
        fit, outcome = StudentT.try_fit(*padded(x))
        assert outcome.reason is Reason.LIGHT_TAILS
        np.testing.assert_allclose([fit.df, fit.loc, fit.scale], [np.inf, np.mean(x), np.std(x)])
    with pytest.raises(ValueError, match="tails are no heavier than normal"):
        StudentT.fit(rng.uniform(size=ROWS))
    assert StudentT.try_fit(np.append(np.zeros(180), rng.normal(size=120)))[1].reason is Reason.POINT_MASS
    # Two outer clusters make the kurtosis small, and yet a narrow centre makes heavy tails likelier than normal ones.
    x = np.concatenate([1e-3 * rng.normal(size=60), np.ones(20), -np.ones(20)])
    assert st.kurtosis(x) < 0
    fit, outcome = StudentT.try_fit(*padded(x))
    assert outcome.ok
    assert mean_log_likelihood(fit, x) > np.mean(st.norm(*st.norm.fit(x)).logpdf(x))


def test_student_close_to_normal_has_its_maximum_far_out():
    x = st.t(200.0).ppf((np.arange(20000) + 0.5) / 20000)
    fit = StudentT.fit(x)
    assert 100 < fit.df < 1000
    np.testing.assert_allclose(slopes(fit, x), 0.0, atol=1e-10)


def test_data_outside_the_support_are_named():
    with pytest.raises(ValueError, match=r"Weibull lives on \(0, ∞\); row 1 is 0"):
        Weibull.fit([1.0, 0.0, 2.0])
    assert Weibull.fit([1.0, 0.0, 2.0], concentration=1.0).scale == 1.0
    with pytest.raises(ValueError, match=r"Cauchy lives on the real line; row 2 is missing"):
        Cauchy.fit([1.0, 0.0, np.nan])


# Known parameters.


def test_laplace_of_known_loc_and_weibull_of_known_shape_are_exponential_families():
    rng = np.random.default_rng(8)
    x = rng.laplace(1.0, 2.0, 200)
    np.testing.assert_allclose(Laplace.fit(x, loc=0.5).scale, np.mean(np.abs(x - 0.5)), rtol=1e-14)
    y = rng.weibull(3.0, 200)
    fit = Weibull.fit(y, concentration=2.5)
    np.testing.assert_allclose(fit.scale**2.5, np.mean(y**2.5), rtol=1e-14)
    for family, rows, known, q in (
        (Laplace, x, {"loc": 0.5}, Laplace(0.5, 3.0)),
        (Weibull, y, {"concentration": 2.5}, Weibull(0.8, 2.5)),
    ):
        parts = family.evidence(rows[:50], **known) + family.evidence(rows[50:], **known)
        same(parts.fit(), family.fit(rows, **known), rtol=1e-13)
        np.testing.assert_allclose(parts.log_likelihood(q), 200 * mean_log_likelihood(q, rows), rtol=1e-13)
        groups = family.evidence(rows, by=np.arange(200) % 2, **known)
        np.testing.assert_allclose(groups.fit().scale[1], family.fit(rows[1::2], **known).scale, rtol=1e-13)
        with pytest.raises(ValueError, match=r"only when its (loc|concentration) is known"):
            family.evidence(rows)
    assert Laplace.try_fit([2.0, 2.0], loc=2.0)[1].reason is Reason.ALL_SAME
    assert Weibull.try_fit([0.0, 0.0], concentration=1.0)[1].reason is Reason.ALL_ZERO
    with pytest.raises(TypeError, match="needs the known parameter concentration"):
        Weibull.from_natural([-1.0])


def test_log_likelihood_has_slopes_in_every_parameter():
    x = np.random.default_rng(9).weibull(2.0, 50)
    with jax.enable_x64(True):
        for d in (Weibull(1.5, 2.5), Laplace(0.3, 2.0)):
            leaves = jax.tree.map(jnp.asarray, d)
            total = jax.grad(lambda d: d.log_likelihood(x))(leaves)
            same(total, jax.grad(lambda d: jnp.sum(d.log_prob(x)))(leaves), rtol=1e-12)


# The tools.


@pytest.mark.parametrize("rows", [1, 2, 7, 100, SORTED + 904, SORTED + 905])
def test_weighted_median_is_exact(rows):
    rng = np.random.default_rng(rows)
    normal, counts, median = rng.normal(size=rows), rng.integers(0, 3, rows), jax.jit(weighted_median)
    with jax.enable_x64(True):
        for x in (normal, rng.standard_cauchy(rows) * 1e6, np.round(normal), np.sort(normal)):
            assert float(median(x, None)) == np.median(x)
            if counts.sum():
                assert float(median(x, counts.astype(float))) == np.median(np.repeat(x, counts))


def test_averages_are_the_same_by_blocks():
    x, w = np.random.default_rng(0).normal(size=(2, 4 * BLOCK + 77)) ** 2
    with jax.enable_x64(True):
        terms = lambda v: (v, jnp.log(v))
        np.testing.assert_allclose(averages(terms, x, None), [x.mean(), np.log(x).mean()], rtol=1e-12)
        np.testing.assert_allclose(
            averages(terms, x, w), [np.average(x, weights=w), np.average(np.log(x), weights=w)], rtol=1e-12
        )


def test_climb_finds_a_summit_past_a_saddle_and_reports_when_it_ran_out_of_passes():
    def survey(place):
        height = lambda p: -((p[0] ** 2 - 1.0) ** 2) - p[1] ** 2 * (1.0 + p[0] ** 2)
        return height(place), jax.grad(height)(place), jax.hessian(height)(place)

    with jax.enable_x64(True):
        start = jnp.array([0.01, 2.0])
        end = climb(survey, lambda p, step: p + step, start)
        assert end.settled
        np.testing.assert_allclose(end.place, [1.0, 0.0], rtol=0, atol=1e-6)
        assert not climb(survey, lambda p, step: p + step, start, limit=2).settled
        np.testing.assert_array_equal(climb(survey, lambda p, step: p + step, start, limit=0).place, start)
