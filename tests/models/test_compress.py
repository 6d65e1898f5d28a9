"""No rewrite changes a posterior: plain models and what `compress` makes of them, in float64."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import log_density
from tests.models.case import RULES, Case
from tests.models.cases import BY_NAME, CASES, each_case, named, parameters
from tests.models.oracle import (
    Evaluations,
    Point,
    double_precision,
    evaluate,
    latents,
    points,
    ranks_kept,
    sites,
)

import surprax as sx

POINTS = 9


class Plain(NamedTuple):
    """A case's own model at points, and whether it promotes ranks."""

    points: list[Point]
    values: Evaluations
    ranks: str


@functools.cache
def plain(case: Case) -> Plain:
    """The model that everything is held against."""
    args, kwargs = case.arguments()
    with double_precision():
        at = points(case.model, args, kwargs, POINTS)
        return Plain(at, evaluate(case.model, args, kwargs, at), ranks_kept(case.model, args, kwargs, at[0]))


class Fast(NamedTuple):
    """What `compress` makes of a case, at the same points."""

    model: Any
    values: Evaluations


@functools.cache
def compressed(case: Case) -> Fast:
    """The rewritten model, which may promote ranks only where the plain one does."""
    (args, kwargs), judge = case.arguments(), plain(case)
    with double_precision(judge.ranks):
        fast = sx.compress(case.model, *args, **kwargs)
        return Fast(fast, evaluate(fast, (), {}, judge.points, reference=(case.model, args, kwargs)))


@each_case
def test_case_is_complete(case):
    """Finite log-densities and gradients of the plain model, and an expectation for every observed site."""
    args, kwargs = case.arguments()
    with double_precision():
        observed = [n for n, s in sites(case.model, args, kwargs).items() if s["type"] == "sample" and s["is_observed"]]
    assert sorted(observed) == sorted([*case.rewritten, *case.kept, *case.either])
    values = plain(case).values
    assert np.all(np.isfinite([values.log_densities, values.potentials]))
    assert all(np.all(np.isfinite(g)) for gradient in values.gradients for g in gradient.values())


@each_case
def test_posterior_is_the_same(case):
    """Log-density up to a constant, potential and gradient."""
    assert not (wrong := plain(case).values.disagreements(compressed(case).values, case.tolerance)), "\n".join(wrong)


@each_case
def test_log_density_plus_offset_is_the_log_density(case):
    fast = compressed(case)
    assert plain(case).values.offset_error(fast.values, float(fast.model.log_offset)) <= case.tolerance


@each_case
def test_latent_sites_are_the_same(case):
    """Names, order, shapes, and the free numbers behind them."""
    args, kwargs = case.arguments()
    with double_precision(plain(case).ranks):
        assert list(latents(compressed(case).model).items()) == list(latents(case.model, args, kwargs).items())


@each_case
def test_plan_names_rule_or_reason(case):
    """The rule that is expected, and a reason for every site that stays."""
    plan = {site.name: site for site in compressed(case).model.plan.sites}
    for name in case.rewritten | dict.fromkeys(case.kept):
        site = plan[name]
        expected = case.rewritten.get(name, (None,))
        assert site.rule in expected, f"{name}: {site.rule!r} instead of {expected}, because {site.reason}"
    for name, site in plan.items():
        assert site.rule is None or site.rule in RULES
        if site.rule is None:
            assert isinstance(site.reason, str), name
            assert site.reason, name
        else:
            assert site.reason is None, name
            assert min(site.numbers, site.rows) > 0, name


@each_case
def test_certificate_goes_with_what_is_rewritten(case):
    if case.rewritten:
        assert compressed(case).model.certificate is not None


COMPRESSED = [case for case in CASES if case.rewritten and not (case.kept or case.either or case.whole_rows)]


@pytest.mark.parametrize("case", parameters(COMPRESSED))
def test_cost_is_free_of_the_rows(case):
    """No array of the compiled program has an axis as long as the data."""
    args, kwargs = case.arguments()
    with double_precision():
        observed = [s for s in sites(case.model, args, kwargs).values() if s["type"] == "sample" and s["is_observed"]]
    rows = {max(jnp.shape(site["value"])) for site in observed}
    assert not rows & compressed(case).values.axes()


@named("gamma", "poisson-by-group", "linear-regression", "one-of-two-outcomes", "drawn-rows")
def test_model_and_arguments_are_what_is_called(case):
    """`fast.model(*fast.args)` for whoever wants data as arguments."""
    fast, judge = compressed(case), plain(case)
    with double_precision(judge.ranks):
        again = evaluate(fast.model.model, tuple(fast.model.args), {}, judge.points)
    np.testing.assert_allclose(again.log_densities, fast.values.log_densities, rtol=1e-12)


IN_FLOAT32 = (
    *("gamma", "poisson-of-a-table", "varying-slopes", "weighted-rows", "negative-binomial-by-group", "dirichlet"),
    "two-lines-put-together",
)


ELSEWHERE = (*IN_FLOAT32, "normal-far-from-zero")
"""float32 has no room for a mean of 10⁵ and a part of the standard deviation that 200 rows leave; `infer` takes float64 there."""


@pytest.mark.parametrize(
    "case",
    [*parameters([BY_NAME[name] for name in IN_FLOAT32])]
    + [
        pytest.param(case, id=case.name, marks=pytest.mark.thorough)
        for case in COMPRESSED
        if case.name not in ELSEWHERE
    ],
)
def test_single_precision_keeps_digits(case):
    """In float32 the rewritten model is near the plain one in float64, and none of its program is cut to 32 bits (a warning)."""
    args, kwargs = case.arguments()
    with double_precision():
        at = [jax.tree.map(np.float32, point) for point in points(case.model, args, kwargs, POINTS)]
        exact = evaluate(case.model, args, kwargs, [jax.tree.map(np.float64, point) for point in at])
    with jax.debug_key_reuse(False), jax.numpy_rank_promotion(plain(case).ranks):
        fast = sx.compress(case.model, *args, **kwargs)
        values = evaluate(fast, (), {}, at)
    assert values.potentials.dtype == np.float32
    assert not (wrong := exact.disagreements(values, 2e-5)), "\n".join(wrong)


@named("one-of-two-outcomes", at_length=("gamma", "schools-in-districts"))
def test_samplers_take_it_for_a_model(case):
    """NUTS starts, and what it returns has the names of the plain model."""
    args, kwargs = case.arguments()
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        fast = sx.compress(case.model, *args, **kwargs)
        sampler = MCMC(NUTS(fast), num_warmup=20, num_samples=5, progress_bar=False)
        sampler.run(jax.random.key(0))
        draws = sampler.get_samples()
        values = {site: value[-1] for site, value in draws.items() if site in latents(case.model, args, kwargs)}
        assert values.keys() == latents(case.model, args, kwargs).keys()
        assert jnp.isfinite(log_density(fast, (), {}, values)[0])


def test_arguments_belong_to_the_call():
    """Two calls on one model share nothing."""
    case = BY_NAME["poisson"]
    with double_precision():
        first, second = sx.compress(case.model, np.array([1, 2, 3])), sx.compress(case.model, np.array([4, 5, 6, 7]))
        one, two = (log_density(f, (), {}, {"rate": 2.0})[0] + f.log_offset for f in (first, second))
        for got, data in ((one, [1, 2, 3]), (two, [4, 5, 6, 7])):
            expected, _ = log_density(case.model, (np.array(data),), {}, {"rate": 2.0})
            np.testing.assert_allclose(got, expected, rtol=1e-9)
