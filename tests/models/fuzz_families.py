"""Likelihoods of random models: a predictor and a second parameter become a distribution, and NumPy draws the data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from tests.models.fuzz_terms import OPAQUE, Draft, Run, Term, Traits


class Likelihood(NamedTuple):
    """How an outcome is distributed, given predictor and run; its data; whether evidence of a cell is few numbers."""

    name: str
    make: Callable[[Any, Run], Any]
    data: np.ndarray
    traits: Traits
    exponential: bool
    gaussian: bool = False
    discrete: bool = False


def positive(draft: Draft) -> tuple[Term, Traits]:
    """A scale, a shape or a concentration: for all rows, by group, or known."""
    kinds = ["latent", "latent", "number", "row by row", "few"] + ["by group", "by known group"] * bool(draft.factors)
    kind, name = draft.pick(*kinds), draft.name("scale")
    draft.say(f"scale: {kind}")
    prior = draft.pick(dist.LogNormal(0.0, 0.3), dist.Gamma(6.0, 5.0))
    match kind:
        case "number":
            return lambda run: 1.3, Traits(columns=0)
        case "row by row":
            known = draft.keep("known", draft.rng.uniform(0.7, 2.0, draft.some_shape()))
            return lambda run: run[known], Traits(frozenset([known]), discrete=False, affine=False)
        case "few":
            known = draft.keep("known", draft.rng.choice([0.7, 1.1, 1.9], draft.some_shape()))
            return lambda run: run[known], Traits(frozenset([known]))
        case "by group":
            factor = draft.factors[int(draft.rng.integers(len(draft.factors)))]
            traits = Traits(frozenset([factor.index]))
            if draft.chance(0.5):
                logs = dist.Normal(0.0, 0.3).expand([factor.levels]).to_event(1)
                return lambda run: jnp.exp(run.sample(name, logs)[run[factor.index]]), traits
            return lambda run: run.sample(name, prior, plate=factor.levels)[run[factor.index]], traits
        case "by known group":
            factor = draft.factors[int(draft.rng.integers(len(draft.factors)))]
            known = draft.keep("known", draft.rng.uniform(0.7, 2.0, factor.levels))
            return lambda run: jnp.asarray(run[known])[run[factor.index]], Traits(frozenset([factor.index]))
    return lambda run: run.sample(name, prior), Traits()


def _whole(draft: Draft, counts: np.ndarray) -> np.ndarray:
    return counts.astype(draft.pick(int, np.int32, float))


def normal(draft: Draft) -> Likelihood:
    scale, traits = positive(draft)
    y = draft.rng.normal(0.0, 1.5, draft.shape)
    if draft.chance(0.5):
        return Likelihood("Normal", lambda eta, run: dist.Normal(eta, scale(run)), y, traits, True, gaussian=True)
    make = lambda eta, run: dist.LogNormal(eta, scale(run))
    return Likelihood("LogNormal", make, np.exp(y), traits, True, gaussian=True)


def _without_statistics(draft: Draft) -> Likelihood:
    """No exponential family; the values are few or many."""
    scale, traits = positive(draft)
    y, name = draft.rng.standard_t(5.0, draft.shape), draft.pick("StudentT", "Laplace", "Cauchy", "Logistic")
    if few := draft.chance(0.5):
        y = np.clip(y.round(), -2.0, 2.0)
        draft.say("few values")
    df = draft.name("df")

    def make(eta: Any, run: Run) -> Any:
        if name == "StudentT":
            return dist.StudentT(run.sample(df, dist.Gamma(8.0, 1.0)), eta, scale(run))
        return getattr(dist, name)(eta, scale(run))

    return Likelihood(name, make, y, traits if few else OPAQUE, exponential=False)


def _poisson(draft: Draft) -> Likelihood:
    y, how = (
        _whole(draft, draft.rng.poisson(2.0, draft.shape)),
        draft.pick("exp", "softplus", "exposure", "few exposures"),
    )
    draft.say(how)
    link = jax.nn.softplus if how == "softplus" else jnp.exp
    if "exposure" not in how:
        return Likelihood("Poisson", lambda eta, run: dist.Poisson(link(eta)), y, Traits(), True, discrete=True)
    few = how == "few exposures"
    values = (
        draft.rng.choice([0.5, 1.0, 3.0], draft.some_shape())
        if few
        else draft.rng.uniform(0.5, 2.0, draft.some_shape())
    )
    name = draft.keep("exposure", values)
    make = lambda eta, run: dist.Poisson(run[name] * link(eta))
    return Likelihood("Poisson", make, y, Traits(frozenset([name]), discrete=few), True, discrete=True)


def _bernoulli(draft: Draft) -> Likelihood:
    y, how = _whole(draft, draft.rng.integers(0, 2, draft.shape)), draft.pick("logits", "logits", "probs", "guess")
    draft.say(how)
    make = {
        "logits": lambda eta, run: dist.Bernoulli(logits=eta),
        "probs": lambda eta, run: dist.Bernoulli(probs=jax.nn.sigmoid(eta)),
        "guess": lambda eta, run: dist.Bernoulli(probs=0.2 + 0.75 * jax.nn.sigmoid(eta)),
    }[how]
    return Likelihood("Bernoulli", make, y, Traits(), True, discrete=True)


def _binomial(draft: Draft) -> Likelihood:
    how, by_logits = draft.pick("number", "few", "many"), draft.chance(0.5)
    trials = {
        "number": np.array(7),
        "few": draft.rng.choice([3, 8], draft.shape),
        "many": draft.rng.integers(1, 100, draft.shape),
    }[how]
    draft.say(f"{how} trials")
    y, name = _whole(draft, draft.rng.binomial(trials, 0.4, draft.shape)), draft.keep("trials", trials)

    def make(eta: Any, run: Run) -> Any:
        total = 7 if how == "number" else run[name]
        return dist.Binomial(total, logits=eta) if by_logits else dist.Binomial(total, probs=jax.nn.sigmoid(eta))

    traits = Traits() if how == "number" else Traits(frozenset([name]), discrete=how == "few")
    return Likelihood("Binomial", make, y, traits, True, discrete=True)


def _gamma(draft: Draft) -> Likelihood:
    shape, traits = positive(draft)
    y = draft.rng.gamma(2.0, 1.0, draft.shape) + 0.01
    make = draft.pick(
        lambda eta, run: dist.Gamma(shape(run), shape(run) / jnp.exp(eta)),
        lambda eta, run: dist.Gamma(jnp.exp(0.5 * eta), shape(run)),
        lambda eta, run: dist.Gamma(concentration=shape(run), rate=jnp.exp(-eta)),
    )
    return Likelihood("Gamma", make, y, traits, True)


def _exponential(draft: Draft) -> Likelihood:
    y = draft.rng.exponential(1.0, draft.shape)
    make = draft.pick(
        lambda eta, run: dist.Exponential(jnp.exp(-eta)), lambda eta, run: dist.Exponential(1.0 / jnp.exp(eta))
    )
    return Likelihood("Exponential", make, y, Traits(), True)


def _negative_binomial(draft: Draft) -> Likelihood:
    """Counts of few values; an exponential family only where the concentration is known."""
    concentration, traits = positive(draft)
    y = _whole(draft, np.minimum(draft.rng.negative_binomial(3, 0.6, draft.shape), 4))
    make = lambda eta, run: dist.NegativeBinomial2(jnp.exp(eta), concentration(run))
    return Likelihood("NegativeBinomial2", make, y, traits, exponential=False, discrete=True)


def _beta(draft: Draft) -> Likelihood:
    size, traits = positive(draft)
    y = draft.rng.beta(2.0, 3.0, draft.shape)
    p = lambda eta: 0.02 + 0.96 * jax.nn.sigmoid(eta)
    make = lambda eta, run: dist.Beta(p(eta) * size(run) * 3.0, (1.0 - p(eta)) * size(run) * 3.0)
    return Likelihood("Beta", make, y, traits, True)


def _weibull(draft: Draft) -> Likelihood:
    known = draft.chance(0.6)
    y = draft.rng.weibull(1.5, draft.shape) + 0.01
    if known:
        draft.say("known shape")
        return Likelihood("Weibull", lambda eta, run: dist.Weibull(jnp.exp(0.5 * eta), 1.5), y, Traits(), True)
    shape, _ = positive(draft)
    return Likelihood(
        "Weibull", lambda eta, run: dist.Weibull(jnp.exp(0.5 * eta), shape(run)), y, OPAQUE, exponential=False
    )


def _categorical(draft: Draft) -> Likelihood:
    y, how, name = draft.levels(3, draft.shape).astype(int), draft.pick("logits", "probs"), draft.name("tilt")
    draft.say(how)

    def make(eta: Any, run: Run) -> Any:
        eta = jnp.asarray(eta)
        tilt = run.sample(name, dist.Normal(0.0, 1.0))
        logits = jnp.stack([jnp.zeros_like(eta), eta, tilt * eta], axis=-1)
        return (
            dist.Categorical(logits=logits)
            if how == "logits"
            else dist.Categorical(probs=jax.nn.softmax(logits, axis=-1))
        )

    return Likelihood("Categorical", make, y, Traits(), True, discrete=True)


LIKELIHOODS = (
    normal,
    normal,
    normal,
    _without_statistics,
    _poisson,
    _bernoulli,
    _bernoulli,
    _binomial,
    _gamma,
    _exponential,
    _negative_binomial,
    _beta,
    _weibull,
    _categorical,
)
"""Normal and binary outcomes come more often than others."""
