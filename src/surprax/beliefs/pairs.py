"""The table of conjugate pairs.

How n observations move a belief, with m the mean of the evidence's carrier and g its gaps (`surprax.evidence.layout`). Written with
n g and n m, and with differences of means, so that taking −n observations away is the same formula.

Sources: Fink (1997), A compendium of conjugate priors; Murphy (2007), Conjugate Bayesian analysis of the Gaussian distribution;
Raiffa & Schlaifer (1961), Applied statistical decision theory.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from surprax import families as f
from surprax.beliefs.circular_pairs import CIRCULAR_PAIRS
from surprax.beliefs.conjugate import Conjugacy
from surprax.beliefs.normal_pairs import NORMAL_PAIRS

__all__ = ["PAIRS"]

type Known = Mapping[str, Any]


def _mean(belief: Any) -> Any:
    return belief._mean()


def _mode(belief: Any) -> Any:
    return belief._mode()


# Beta: a successes and b failures.


def _beta(successes: Any, failures: Any) -> Any:
    def update(prior: Any, e: Any, n: Any) -> Any:
        return f.Beta._of(
            concentration1=prior.concentration1 + n * successes(e),
            concentration0=prior.concentration0 + n * failures(e),
        )

    return update


def _beta_negative_binomial(belief: Any, r: Any) -> Any:
    return f.BetaNegativeBinomial._of(
        concentration1=belief.concentration1, concentration0=belief.concentration0, total_count=r
    )


_BETA = (
    Conjugacy(
        f.Beta,
        f.Bernoulli,
        "probs",
        (),
        _beta(lambda e: e.mean, lambda e: 1.0 - e.mean),
        lambda p, _: f.Bernoulli(p),
        lambda belief, _: f.Bernoulli(belief.mean),
        _mean,
    ),
    Conjugacy(
        f.Beta,
        f.Binomial,
        "probs",
        ("total_count",),
        _beta(lambda e: e.mean, lambda e: e.known["total_count"] - e.mean),
        lambda p, known: f.Binomial(known["total_count"], p),
        lambda belief, known: f.BetaBinomial(belief.concentration1, belief.concentration0, known["total_count"]),
        _mean,
    ),
    Conjugacy(
        f.Beta,
        f.Geometric,
        "probs",
        (),
        _beta(lambda e: 1.0, lambda e: e.mean),
        lambda p, _: f.Geometric(p),
        lambda belief, _: _beta_negative_binomial(belief, jnp.ones_like(belief.concentration1)),
        _mean,
    ),
    Conjugacy(
        f.Beta,
        f.NegativeBinomial,
        "concentration/(concentration + mean), the probability of success of each trial,",
        ("concentration",),
        _beta(lambda e: e.known["concentration"], lambda e: e.mean),
        lambda p, known: f.NegativeBinomial._of(
            mean=known["concentration"] * (1.0 - p) / p, concentration=known["concentration"] * jnp.ones_like(p)
        ),
        lambda belief, known: _beta_negative_binomial(belief, known["concentration"]),
        _mean,
    ),
)


# Dirichlet: so many of each category.


def _dirichlet_categorical(prior: Any, e: Any, n: Any) -> Any:
    """A tally has the counts themselves; n is their sum, or its negative. Categories that it does not reach were not seen."""
    categories, seen = prior.concentration.shape[-1], e.counts.shape[-1]
    if seen > categories:
        raise ValueError(
            f"A Dirichlet belief about {categories} categories takes evidence of at most as many; this is of {seen}."
        )
    counts = jnp.pad(e.counts, [(0, 0)] * (e.counts.ndim - 1) + [(0, categories - seen)])
    sign = jnp.where(n < 0, -1.0, 1.0)
    return f.Dirichlet._of(concentration=prior.concentration + sign[..., None] * counts)


def _dirichlet_multinomial(prior: Any, e: Any, n: Any) -> Any:
    return f.Dirichlet._of(concentration=prior.concentration + jnp.asarray(n)[..., None] * e.mean)


_DIRICHLET = (
    Conjugacy(
        f.Dirichlet,
        f.Categorical,
        "probs",
        (),
        _dirichlet_categorical,
        lambda p, _: f.Categorical(p),
        lambda belief, _: f.Categorical(belief.mean),
        _mean,
    ),
    Conjugacy(
        f.Dirichlet,
        f.Multinomial,
        "probs",
        ("total_count",),
        _dirichlet_multinomial,
        lambda p, known: f.Multinomial(known["total_count"], p),
        lambda belief, known: f.DirichletMultinomial(belief.concentration, known["total_count"]),
        _mean,
    ),
)


# Gamma: a concentration of events in a stretch of length `rate`.


def _gamma_like(family: Any, shape: Any, rate: Any) -> Any:
    def update(prior: Any, e: Any, n: Any) -> Any:
        return family._of(concentration=prior.concentration + n * shape(e), rate=prior.rate + n * rate(e))

    return update


def _square(e: Any) -> Any:
    """Mean squared deviation of the carrier from the known loc."""
    return e.gaps[..., 0] + (e.mean - e.known["loc"]) ** 2


def _spread(family: Any, power: float) -> Any:
    """About the known loc, with the scale that is this power of the unknown."""
    return lambda unknown, known: family._of(loc=known["loc"] * jnp.ones_like(unknown), scale=unknown**power)


def _student(family: Any) -> Any:
    """Of a normal variable about the known loc, whose precision has a Gamma or whose variance has an InverseGamma belief."""

    def predict(belief: Any, known: Known) -> Any:
        a, b = jnp.asarray(belief.concentration), jnp.asarray(belief.rate)
        scale = jnp.sqrt(b / a)
        return family(2.0 * a, known["loc"] * jnp.ones_like(scale), scale)

    return predict


def _beta_prime(a: Any, b: Any, power: Any, scale: Any) -> Any:
    return f.GeneralizedBetaPrime(*jnp.broadcast_arrays(*map(jnp.asarray, (a, b, power, scale))))


_GAMMA = (
    Conjugacy(
        f.Gamma,
        f.Poisson,
        "rate",
        (),
        _gamma_like(f.Gamma, lambda e: e.mean, lambda e: 1.0),
        lambda rate, _: f.Poisson(rate),
        lambda belief, _: f.NegativeBinomial(belief.mean, belief.concentration),
        _mean,
    ),
    Conjugacy(
        f.Gamma,
        f.Exponential,
        "rate",
        (),
        _gamma_like(f.Gamma, lambda e: 1.0, lambda e: e.mean),
        lambda rate, _: f.Exponential(rate),
        lambda belief, _: f.Lomax(belief.concentration, belief.rate),
        _mean,
    ),
    Conjugacy(
        f.Gamma,
        f.Gamma,
        "rate",
        ("concentration",),
        _gamma_like(f.Gamma, lambda e: e.known["concentration"], lambda e: e.mean),
        lambda rate, known: f.Gamma._of(concentration=known["concentration"] * jnp.ones_like(rate), rate=rate),
        lambda belief, known: _beta_prime(known["concentration"], belief.concentration, 1.0, belief.rate),
        _mean,
    ),
    Conjugacy(
        f.Gamma,
        f.InverseGamma,
        "rate",
        ("concentration",),
        _gamma_like(f.Gamma, lambda e: e.known["concentration"], lambda e: e.mean),
        lambda rate, known: f.InverseGamma._of(concentration=known["concentration"] * jnp.ones_like(rate), rate=rate),
        lambda belief, known: _beta_prime(belief.concentration, known["concentration"], 1.0, 1.0 / belief.rate),
        _mean,
    ),
    Conjugacy(
        f.Gamma,
        f.Pareto,
        "alpha",
        ("scale",),
        _gamma_like(f.Gamma, lambda e: 1.0, lambda e: e.mean),
        lambda alpha, known: f.Pareto._of(scale=known["scale"] * jnp.ones_like(alpha), alpha=alpha),
        lambda belief, known: f.LogLomax(known["scale"], belief.concentration, belief.rate),
        _mean,
    ),
    *(
        Conjugacy(
            f.Gamma,
            family,
            f"the precision 1/scale² of {what}",
            ("loc",),
            _gamma_like(f.Gamma, lambda e: 0.5, lambda e: 0.5 * _square(e)),
            _spread(family, -0.5),
            _student(student),
            _mean,
        )
        for family, student, what in ((f.Normal, f.StudentT, "x"), (f.LogNormal, f.LogStudentT, "log x"))
    ),
)


# InverseGamma: the variance, or a power of the scale.


def _constant(value: float) -> Any:
    return lambda _: value


def _of_square(family: Any) -> Any:
    return lambda square, _: family._of(scale=jnp.sqrt(square))


def _length(half: float) -> Any:
    """Of twice as many normal components as `half` says."""
    return lambda belief, _: _beta_prime(half, belief.concentration, 2.0, jnp.sqrt(2.0 * belief.rate))


_INVERSE_GAMMA = (
    *(
        Conjugacy(
            f.InverseGamma,
            family,
            f"the variance scale² of {what}",
            ("loc",),
            _gamma_like(f.InverseGamma, lambda e: 0.5, lambda e: 0.5 * _square(e)),
            _spread(family, 0.5),
            _student(student),
            _mode,
        )
        for family, student, what in ((f.Normal, f.StudentT, "x"), (f.LogNormal, f.LogStudentT, "log x"))
    ),
    Conjugacy(
        f.InverseGamma,
        f.Laplace,
        "scale",
        ("loc",),
        _gamma_like(f.InverseGamma, lambda e: 1.0, lambda e: e.mean),
        lambda scale, known: f.Laplace._of(loc=known["loc"] * jnp.ones_like(scale), scale=scale),
        lambda belief, known: f.DoubleLomax(known["loc"], belief.concentration, belief.rate),
        _mode,
    ),
    *(
        Conjugacy(
            f.InverseGamma,
            family,
            "scale²",
            (),
            _gamma_like(f.InverseGamma, _constant(half), lambda e: 0.5 * e.mean),
            _of_square(family),
            _length(half),
            _mode,
        )
        for family, half in ((f.HalfNormal, 0.5), (f.Rayleigh, 1.0), (f.Maxwell, 1.5))
    ),
    Conjugacy(
        f.InverseGamma,
        f.Weibull,
        "scale^concentration",
        ("concentration",),
        _gamma_like(f.InverseGamma, lambda e: 1.0, lambda e: e.mean),
        lambda power, known: f.Weibull._of(
            scale=power ** (1.0 / known["concentration"]), concentration=known["concentration"] * jnp.ones_like(power)
        ),
        lambda belief, known: _beta_prime(
            1.0, belief.concentration, known["concentration"], belief.rate ** (1.0 / known["concentration"])
        ),
        _mode,
    ),
)


# Pareto: how far a uniform distribution reaches.


def _pareto(prior: Any, e: Any, n: Any) -> Any:
    reach = e.high - e.known["low"]
    after = jnp.maximum(prior.scale, reach)
    # Whether the data set the scale, or the prior did, is told only where the data stay below it.
    before = jnp.where((reach < prior.scale) | (n == 0), prior.scale, jnp.nan)
    return f.Pareto._of(scale=jnp.where(n < 0, before, after), alpha=prior.alpha + n)


_PARETO = (
    Conjugacy(
        f.Pareto,
        f.Uniform,
        "high − low",
        ("low",),
        _pareto,
        lambda width, known: f.Uniform._of(low=known["low"] * jnp.ones_like(width), high=known["low"] + width),
        lambda belief, known: f.UniformPareto(known["low"], belief.scale, belief.alpha),
        lambda belief: belief.scale * (1.0 + 1.0 / (1.0 + belief.alpha)),
    ),
)


PAIRS: tuple[Conjugacy, ...] = (
    *_BETA,
    *_DIRICHLET,
    *_GAMMA,
    *_INVERSE_GAMMA,
    *NORMAL_PAIRS,
    *_PARETO,
    *CIRCULAR_PAIRS,
)
"""All conjugate pairs, one row each."""
