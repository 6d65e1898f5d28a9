"""Conjugate pairs of normal data: beliefs about the location, about the spread, and about both.

Rows of the table in `surprax.beliefs.pairs`. Sources: Murphy (2007), Conjugate Bayesian analysis of the Gaussian distribution;
Gelman et al. (2013), Bayesian Data Analysis, section 3.6.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from surprax import families as f
from surprax.beliefs.conjugate import Conjugacy
from surprax.numerics.linalg import (
    beside,
    cholesky,
    cholesky_of_inverse,
    gram,
    identity,
    matmul,
    matvec,
    outer,
    solve_lower,
    solve_lower_matrix,
    transpose,
)
from surprax.numerics.symmetric import from_half

__all__ = ["NORMAL_PAIRS"]

type Known = Mapping[str, Any]


def _mode(belief: Any) -> Any:
    return belief._mode()


def _loc(belief: Any) -> Any:
    return belief.loc


# Normal: the location, between the prior's and the data's by their precisions.


def _normal(prior: Any, e: Any, n: Any) -> Any:
    prior_variance, variance = prior.scale**2, e.known["scale"] ** 2
    total = variance + n * prior_variance
    pull = n * prior_variance / total
    return f.Normal._of(
        loc=prior.loc + pull * (e.mean - prior.loc), scale=prior.scale * e.known["scale"] / jnp.sqrt(total)
    )


def _about(family: Any) -> Any:
    """Of the known scale about the unknown loc."""
    return lambda loc, known: family._of(loc=loc, scale=known["scale"] * jnp.ones_like(loc))


def _wider(family: Any) -> Any:
    def predict(belief: Any, known: Known) -> Any:
        own = jnp.asarray(belief.scale)
        return family(belief.loc, jnp.hypot(own, known["scale"] * jnp.ones_like(own)))

    return predict


_NORMAL = tuple(
    Conjugacy(
        f.Normal,
        family,
        "loc",
        ("scale",),
        _normal,
        _about(family),
        _wider(family),
        _loc,
    )
    for family in (f.Normal, f.LogNormal)
)


# NormalInverseGamma: the location and the variance together.


def _normal_inverse_gamma(prior: Any, e: Any, n: Any) -> Any:
    precision = prior.mean_precision + n
    shift = e.mean - prior.loc
    return f.NormalInverseGamma._of(
        loc=prior.loc + n / precision * shift,
        mean_precision=precision,
        concentration=prior.concentration + 0.5 * n,
        rate=prior.rate + 0.5 * n * (e.gaps[..., 0] + prior.mean_precision / precision * shift**2),
    )


def _both(family: Any) -> Any:
    return lambda pair, _: family._of(loc=pair[..., 0], scale=jnp.sqrt(pair[..., 1]))


def _student_of_both(family: Any) -> Any:
    def predict(belief: Any, _: Known) -> Any:
        a, b, k = (jnp.asarray(v) for v in (belief.concentration, belief.rate, belief.mean_precision))
        return family(2.0 * a, belief.loc, jnp.sqrt(b / a * (1.0 + 1.0 / k)))

    return predict


_NORMAL_INVERSE_GAMMA = tuple(
    Conjugacy(
        f.NormalInverseGamma,
        family,
        "loc and scale²",
        (),
        _normal_inverse_gamma,
        _both(family),
        _student_of_both(student),
        _mode,
    )
    for family, student in ((f.Normal, f.StudentT), (f.LogNormal, f.LogStudentT))
)


# MultivariateNormal: the location of a vector. With the prior's factor L, its covariance becomes L (I + n Lᵀ Σ⁻¹ L)⁻¹ Lᵀ:
# nothing is subtracted, and the product of L with the inner factor is lower triangular.


def _multivariate_normal(prior: Any, e: Any, n: Any) -> Any:
    sigma = cholesky(e.known["covariance_matrix"])
    relative = solve_lower_matrix(sigma, prior.scale_tril)
    growth = identity(relative) + beside(n, 2) * matmul(transpose(relative), relative)
    factor = matmul(prior.scale_tril, cholesky_of_inverse(growth))
    pull = solve_lower(sigma, solve_lower(sigma, e.mean - prior.loc), transposed=True)
    return f.MultivariateNormal._of(loc=prior.loc + beside(n) * matvec(gram(factor), pull), scale_tril=factor)


_MULTIVARIATE_NORMAL = (
    Conjugacy(
        f.MultivariateNormal,
        f.MultivariateNormal,
        "loc",
        ("covariance_matrix",),
        _multivariate_normal,
        lambda loc, known: f.MultivariateNormal._of(loc=loc, scale_tril=cholesky(known["covariance_matrix"])),
        lambda belief, known: f.MultivariateNormal._of(
            loc=belief.loc, scale_tril=cholesky(gram(belief.scale_tril) + known["covariance_matrix"])
        ),
        _loc,
    ),
)


# InverseWishart and Wishart: the covariance matrix and the precision matrix about a known location.


def _about_known_loc(e: Any) -> Array:
    """Mean product of deviations from the known loc."""
    shift = e.mean - e.known["loc"]
    return from_half(e.gaps) + outer(shift, shift)


def _degrees(prior: Any, n: Any) -> Array:
    """ν + n; NaN where a matrix of that size cannot have so few."""
    after = prior.df + n
    return jnp.where(after > prior.scale_tril.shape[-1] - 1, after, jnp.nan)


def _inverse_wishart(prior: Any, e: Any, n: Any) -> Any:
    total = gram(prior.scale_tril) + beside(n, 2) * _about_known_loc(e)
    return f.InverseWishart._of(df=_degrees(prior, n), scale_tril=cholesky(total))


def _wishart(prior: Any, e: Any, n: Any) -> Any:
    """V becomes (V⁻¹ + n S)⁻¹ = L (I + n Lᵀ S L)⁻¹ Lᵀ."""
    own = prior.scale_tril
    growth = identity(own) + beside(n, 2) * matmul(matmul(transpose(own), _about_known_loc(e)), own)
    return f.Wishart._of(df=_degrees(prior, n), scale_tril=matmul(own, cholesky_of_inverse(growth)))


def _student(df: Any, loc: Any, tril: Any, growth: Any = 1.0) -> Any:
    """Student's t with ν − d + 1 degrees of freedom, whose scale matrix is that many times smaller than L Lᵀ."""
    df = jnp.asarray(df) - (tril.shape[-1] - 1.0)
    return f.MultivariateStudentT._of(df=df, loc=loc, scale_tril=tril * beside(jnp.sqrt(growth / df), 2))


_COVARIANCE = (
    Conjugacy(
        f.InverseWishart,
        f.MultivariateNormal,
        "covariance_matrix",
        ("loc",),
        _inverse_wishart,
        lambda S, known: f.MultivariateNormal._of(loc=known["loc"], scale_tril=cholesky(S)),
        lambda belief, known: _student(belief.df, known["loc"], belief.scale_tril),
        _mode,
    ),
    Conjugacy(
        f.Wishart,
        f.MultivariateNormal,
        "precision_matrix",
        ("loc",),
        _wishart,
        lambda P, known: f.MultivariateNormal._of(loc=known["loc"], scale_tril=cholesky_of_inverse(P)),
        lambda belief, known: _student(belief.df, known["loc"], cholesky_of_inverse(gram(belief.scale_tril))),
        lambda belief: belief._mean(),
    ),
)


# NormalInverseWishart: the location and the covariance matrix together.


def _normal_inverse_wishart(prior: Any, e: Any, n: Any) -> Any:
    precision = prior.mean_precision + n
    shift = e.mean - prior.loc
    between = beside(prior.mean_precision / precision, 2) * outer(shift, shift)
    total = gram(prior.scale_tril) + beside(n, 2) * (from_half(e.gaps) + between)
    return f.NormalInverseWishart._of(
        loc=prior.loc + beside(n / precision) * shift,
        mean_precision=precision,
        df=_degrees(prior, n),
        scale_tril=cholesky(total),
    )


_MEAN_AND_COVARIANCE = (
    Conjugacy(
        f.NormalInverseWishart,
        f.MultivariateNormal,
        "loc and covariance_matrix",
        (),
        _normal_inverse_wishart,
        lambda pair, _: f.MultivariateNormal._of(loc=pair[..., 0], scale_tril=cholesky(pair[..., 1:])),
        lambda belief, _: _student(belief.df, belief.loc, belief.scale_tril, 1.0 + 1.0 / belief.mean_precision),
        _mode,
    ),
)


NORMAL_PAIRS: tuple[Conjugacy, ...] = (
    *_NORMAL,
    *_NORMAL_INVERSE_GAMMA,
    *_MULTIVARIATE_NORMAL,
    *_COVARIANCE,
    *_MEAN_AND_COVARIANCE,
)
"""Pairs whose data are normal, or normal in the logarithm."""
