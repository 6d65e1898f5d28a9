"""Laws of a response, given its mean: what a generalised linear model needs to know of a family.

Most are exponential dispersion models, whose log-density falls by half the deviance over the dispersion from that of the data's
own mean (Jørgensen 1987):

    log p(y | μ, φ) = −d(y, μ)/(2φ) + log p(y | y, φ)

so that the mean is fitted without knowing φ, and φ from the deviance alone. Rows of one mean add up: Σ d(yᵢ, μ) is n d(ȳ, μ) and
the deviance within, Σ d(yᵢ, ȳ). Others (`Shaped`) have a second parameter that does not separate.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families import (
    Bernoulli,
    Beta,
    Binomial,
    Distribution,
    Gamma,
    InverseGaussian,
    NegativeBinomial,
    Normal,
    Poisson,
)
from surprax.numerics.elementary import deviance, scale_divergence, xlogy
from surprax.numerics.gamma import digamma, log_gamma, stirling_error, trigamma
from surprax.numerics.gamma_differences import log_beta
from surprax.regression.divergences import negative_binomial_divergence
from surprax.regression.grouping import Whole
from surprax.regression.links import Link

__all__ = ["BY_FAMILY", "CANCELS", "Dispersed", "Response", "Shaped"]

RUN = 1 << 17
"""Responses that are looked at together."""

CANCELS = 100.0
"""How many times larger than half the deviance its constant may be, before it is computed otherwise: two digits."""


@dataclass(frozen=True)
class Response:
    """The law of a response.

    Attributes:
        name: for people.
        family: whose members the responses follow; None where there is no such class.
        link: its usual one.
        domain: of means, as (lowest, highest), both open.
        support: of responses, as (lowest, highest).
        closed: whether the ends of the support belong to it.
        whole: whether responses are whole numbers.
        extra: name of the parameter besides the mean, positive; "" where there is none.
    """

    name: str
    family: type[Distribution] | None
    link: str
    domain: tuple[float, float]
    support: tuple[float, float]
    closed: tuple[bool, bool] = (False, False)
    whole: bool = False
    extra: str = ""

    @property
    def a_law(self) -> str:
        """With its article: "a gamma law", "an inverse Gaussian law"."""
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name} law"

    def check(self, y: np.ndarray, label: str, whole: Whole | None = None) -> None:
        """An error for responses outside of the support; what the whole numbers are, where it is known, saves looking."""
        low, high = self.support
        if self._all_inside(y if whole is None else whole.low + np.array([0.0, whole.levels - 1.0])):
            return
        bad = (y < low) | (y > high)
        if not self.closed[0]:
            bad |= y == low
        if not self.closed[1]:
            bad |= y == high
        words = f"{'from' if self.closed[0] else 'above'} {low:g}" if np.isfinite(low) else ""
        if np.isfinite(high):
            words += f" {'to' if self.closed[1] else 'and below'} {high:g}"
        if self.whole:
            bad |= y != np.round(y)
            words = f"whole numbers {words}"
        if np.any(bad):
            i = int(np.argmax(bad))
            raise ValueError(
                f"Responses of {self.a_law} are {words.strip()}; {label} has {y[i]:g} in row {i}, and {int(bad.sum()):,} such"
                " in all. Choose another family, or mend the data."
            )

    def _all_inside(self, y: np.ndarray) -> bool:
        least, most = (float(np.min(y)), float(np.max(y))) if len(y) else (0.5, 0.5)
        (low, high), (with_low, with_high) = self.support, self.closed
        if not ((least >= low if with_low else least > low) and (most <= high if with_high else most < high)):
            return False
        return not self.whole or all(
            np.array_equal(part, np.rint(part)) for part in np.array_split(y, len(y) // RUN + 1)
        )

    def distribution(self, mu: Any, extra: Any, trials: Any = None) -> Distribution:
        """The law with a mean and the extra parameter."""
        raise NotImplementedError(f"There is no distribution object for {self.name} responses.")


class Dispersed(Response):
    """An exponential dispersion model."""

    def kernel(self, y: Array, eta: Array, link: Link) -> Array:
        """Half the unit deviance, less `constant`."""
        raise NotImplementedError

    def constant(self, y: Any) -> Array:
        """What half the unit deviance has that depends on y alone."""
        raise NotImplementedError

    def half_deviance(self, y: Array, mu: Array) -> Array:
        """½ d(y, μ), with its digits where μ is near y."""
        raise NotImplementedError

    def half_at(self, y: Array, eta: Array, link: Link) -> Array:
        """½ d(y, μ) by the linear predictor: kernel and constant, or `half_deviance` where these all but cancel."""
        constant = self.constant(y)
        half = self.kernel(y, eta, link) + constant
        cancels = jnp.abs(constant) > CANCELS * jnp.abs(half)
        return jnp.where(cancels, self.half_deviance(y, link.inverse(eta)), half)

    def variance(self, mu: Any) -> Any:
        """V(μ), the variance at dispersion 1."""
        raise NotImplementedError

    def log_dispersion(self, log_extra: Any) -> Any:
        """log φ by the logarithm of the extra parameter; 0 where there is none."""
        return 0.0 * log_extra

    def base(self, y: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """What log p(y | y, φ) of each row has that depends on y alone, shape (n,)."""
        raise NotImplementedError

    def precisions(self, y: Any, precision: Any) -> Any:
        """By how much the dispersion that `saturated` sees is smaller, of each row."""
        return precision

    def saturated(self, log_dispersion: Any) -> Any:
        """The rest of log p(y | y, φ), for one row."""
        return 0.0 * log_dispersion


class Shaped(Response):
    """A law whose second parameter does not separate from the mean."""

    def surprise(self, y: Array, eta: Array, link: Link, log_extra: Array) -> Array:
        """−log p(y | μ, extra)."""
        raise NotImplementedError

    def information(self, mu: Array, log_extra: Array) -> Array:
        """Fisher's information about μ, of one row."""
        raise NotImplementedError

    def variance_of(self, mu: Any, extra: Any) -> Any:
        """Variance of the response."""
        raise NotImplementedError

    def half_deviance_of(self, y: Array, mu: Array, extra: Array) -> Array:
        """log p(y | its best mean) − log p(y | μ)."""
        raise NotImplementedError


@dataclass(frozen=True)
class NormalResponse(Dispersed):
    """N(μ, scale²), dispersion scale²."""

    name: str = "normal"
    family: type[Distribution] | None = Normal
    link: str = "identity"
    domain: tuple[float, float] = (-np.inf, np.inf)
    support: tuple[float, float] = (-np.inf, np.inf)
    extra: str = "scale"

    def kernel(self, y: Array, eta: Array, link: Link) -> Array:
        return 0.5 * jnp.square(y - link.inverse(eta))

    def constant(self, y: Any) -> Array:
        return jnp.zeros_like(y)

    def half_deviance(self, y: Array, mu: Array) -> Array:
        return 0.5 * jnp.square(y - mu)

    def variance(self, mu: Any) -> Any:
        return jnp.ones_like(mu)

    def log_dispersion(self, log_extra: Any) -> Any:
        return 2.0 * log_extra

    def base(self, y: np.ndarray, precision: np.ndarray) -> np.ndarray:
        return np.zeros_like(y)

    def saturated(self, log_dispersion: Any) -> Any:
        return -0.5 * (np.log(2.0 * np.pi) + log_dispersion)

    def distribution(self, mu: Any, extra: Any, trials: Any = None) -> Distribution:
        return Normal(mu, extra)


@dataclass(frozen=True)
class PoissonResponse(Dispersed):
    """Poisson(μ)."""

    name: str = "Poisson"
    family: type[Distribution] | None = Poisson
    link: str = "log"
    domain: tuple[float, float] = (0.0, np.inf)
    support: tuple[float, float] = (0.0, np.inf)
    closed: tuple[bool, bool] = (True, False)
    whole: bool = True

    def kernel(self, y: Array, eta: Array, link: Link) -> Array:
        return link.inverse(eta) - jnp.where(y == 0, 0.0, y * link.log_inverse(eta))

    def constant(self, y: Any) -> Array:
        return xlogy(y, y) - y

    def half_deviance(self, y: Array, mu: Array) -> Array:
        return deviance(y, mu)

    def variance(self, mu: Any) -> Any:
        return mu

    def base(self, y: np.ndarray, precision: np.ndarray) -> np.ndarray:
        some = np.where(y > 0, y, 1.0)  # y log y − y − log y! by Stirling's formula, which does not cancel
        return np.where(y > 0, -precision * np.asarray(0.5 * np.log(2.0 * np.pi * some) + stirling_error(some)), 0.0)

    def distribution(self, mu: Any, extra: Any, trials: Any = None) -> Distribution:
        return Poisson(mu)


@dataclass(frozen=True)
class BinomialResponse(Dispersed):
    """Shares of successes among so many trials, which are the precision of a row; Bernoulli(μ) where all rows have one trial."""

    name: str = "binomial"
    family: type[Distribution] | None = Binomial
    link: str = "logit"
    domain: tuple[float, float] = (0.0, 1.0)
    support: tuple[float, float] = (0.0, 1.0)
    closed: tuple[bool, bool] = (True, True)

    def kernel(self, y: Array, eta: Array, link: Link) -> Array:
        one = jnp.where(y == 0, 0.0, y * link.log_inverse(eta))
        return -one - jnp.where(y == 1, 0.0, (1.0 - y) * link.log1m_inverse(eta))

    def constant(self, y: Any) -> Array:
        return xlogy(y, y) + xlogy(1.0 - y, 1.0 - y)

    def half_deviance(self, y: Array, mu: Array) -> Array:
        return deviance(y, mu) + deviance(1.0 - y, 1.0 - mu)

    def variance(self, mu: Any) -> Any:
        return mu * (1.0 - mu)

    def base(self, y: np.ndarray, precision: np.ndarray) -> np.ndarray:
        if np.all((y == 0) | (y == 1)):
            return np.zeros_like(y)
        k, rest = y * precision, (1.0 - y) * precision
        ways = log_gamma(precision + 1.0) - log_gamma(k + 1.0) - log_gamma(rest + 1.0)
        return np.asarray(ways + precision * self.constant(y))

    def distribution(self, mu: Any, extra: Any, trials: Any = None) -> Distribution:
        return Bernoulli(mu) if trials is None else Binomial(trials, mu)


@dataclass(frozen=True)
class GammaResponse(Dispersed):
    """Gamma(concentration, concentration/μ), dispersion 1/concentration."""

    name: str = "gamma"
    family: type[Distribution] | None = Gamma
    link: str = "log"
    domain: tuple[float, float] = (0.0, np.inf)
    support: tuple[float, float] = (0.0, np.inf)
    extra: str = "concentration"

    def kernel(self, y: Array, eta: Array, link: Link) -> Array:
        log_mu = link.log_inverse(eta)
        return y * jnp.exp(-log_mu) + log_mu

    def constant(self, y: Any) -> Array:
        return -jnp.log(y) - 1.0

    def half_deviance(self, y: Array, mu: Array) -> Array:
        return scale_divergence(y, mu)

    def variance(self, mu: Any) -> Any:
        return mu**2

    def log_dispersion(self, log_extra: Any) -> Any:
        return -log_extra

    def base(self, y: np.ndarray, precision: np.ndarray) -> np.ndarray:
        return -np.log(y)

    def saturated(self, log_dispersion: Any) -> Any:
        a = jnp.exp(-log_dispersion)
        return -stirling_error(a) + 0.5 * (-log_dispersion - np.log(2.0 * np.pi))

    def distribution(self, mu: Any, extra: Any, trials: Any = None) -> Distribution:
        return Gamma(jnp.broadcast_to(extra, jnp.shape(mu)), extra / mu)


@dataclass(frozen=True)
class InverseGaussianResponse(Dispersed):
    """InverseGaussian(μ, concentration), dispersion 1/concentration."""

    name: str = "inverse Gaussian"
    family: type[Distribution] | None = InverseGaussian
    link: str = "log"
    domain: tuple[float, float] = (0.0, np.inf)
    support: tuple[float, float] = (0.0, np.inf)
    extra: str = "concentration"

    def kernel(self, y: Array, eta: Array, link: Link) -> Array:
        reciprocal = jnp.exp(-link.log_inverse(eta))
        return 0.5 * y * reciprocal**2 - reciprocal

    def constant(self, y: Any) -> Array:
        return 0.5 / y

    def half_deviance(self, y: Array, mu: Array) -> Array:
        return 0.5 * jnp.square((y - mu) / mu) / y

    def variance(self, mu: Any) -> Any:
        return mu**3

    def log_dispersion(self, log_extra: Any) -> Any:
        return -log_extra

    def base(self, y: np.ndarray, precision: np.ndarray) -> np.ndarray:
        return -1.5 * np.log(y)

    def saturated(self, log_dispersion: Any) -> Any:
        return -0.5 * (np.log(2.0 * np.pi) + log_dispersion)

    def distribution(self, mu: Any, extra: Any, trials: Any = None) -> Distribution:
        return InverseGaussian(mu, extra)


@dataclass(frozen=True)
class NegativeBinomialResponse(Shaped):
    """NegativeBinomial(μ, concentration): variance μ + μ²/concentration."""

    name: str = "negative binomial"
    family: type[Distribution] | None = NegativeBinomial
    link: str = "log"
    domain: tuple[float, float] = (0.0, np.inf)
    support: tuple[float, float] = (0.0, np.inf)
    closed: tuple[bool, bool] = (True, False)
    whole: bool = True
    extra: str = "concentration"

    def surprise(self, y: Array, eta: Array, link: Link, log_extra: Array) -> Array:
        r = jnp.exp(log_extra)
        some = jnp.where(y > 0, y, 1.0)  # −log p(y | y, r) by Stirling's formula, as Loader (2000) has it
        own = jnp.where(y > 0, 0.5 * jnp.log(2.0 * jnp.pi * some) + stirling_error(some), 0.0)
        best = own + 0.5 * jnp.log1p(y / r) + stirling_error(r) - stirling_error(y + r)
        return negative_binomial_divergence(y, link.inverse(eta), r) + best

    def information(self, mu: Array, log_extra: Array) -> Array:
        return 1.0 / (mu * (1.0 + mu * jnp.exp(-log_extra)))

    def variance_of(self, mu: Any, extra: Any) -> Any:
        return mu + mu**2 / extra

    def half_deviance_of(self, y: Array, mu: Array, extra: Array) -> Array:
        return negative_binomial_divergence(y, mu, extra)

    def distribution(self, mu: Any, extra: Any, trials: Any = None) -> Distribution:
        return NegativeBinomial(mu, jnp.broadcast_to(extra, jnp.shape(mu)))


@dataclass(frozen=True)
class BetaResponse(Shaped):
    """Beta(μ c, (1 − μ) c) with concentration c: variance μ(1 − μ)/(1 + c) (Ferrari & Cribari-Neto 2004)."""

    name: str = "beta"
    family: type[Distribution] | None = Beta
    link: str = "logit"
    domain: tuple[float, float] = (0.0, 1.0)
    support: tuple[float, float] = (0.0, 1.0)
    extra: str = "concentration"

    def surprise(self, y: Array, eta: Array, link: Link, log_extra: Array) -> Array:
        c = jnp.exp(log_extra)
        a, b = jnp.exp(link.log_inverse(eta)) * c, jnp.exp(link.log1m_inverse(eta)) * c
        return log_beta(a, b) - (a - 1.0) * jnp.log(y) - (b - 1.0) * jnp.log1p(-y)

    def information(self, mu: Array, log_extra: Array) -> Array:
        c = jnp.exp(log_extra)
        return c**2 * (trigamma(mu * c) + trigamma((1.0 - mu) * c))

    def variance_of(self, mu: Any, extra: Any) -> Any:
        return mu * (1.0 - mu) / (1.0 + extra)

    def half_deviance_of(self, y: Array, mu: Array, extra: Array) -> Array:
        goal = jnp.log(y) - jnp.log1p(-y)

        def closer(_: int, eta: Array) -> Array:  # Newton's method for the best mean, in its log-odds
            best = jax.nn.sigmoid(eta)
            a, b = best * extra, jax.nn.sigmoid(-eta) * extra
            slope = extra * best * jax.nn.sigmoid(-eta) * (trigamma(a) + trigamma(b))
            return eta - jnp.clip((digamma(a) - digamma(b) - goal) / slope, -2.0, 2.0)

        best = jax.nn.sigmoid(jax.lax.fori_loop(0, 30, closer, goal))

        def surprise(mean: Array) -> Array:
            a, b = mean * extra, (1.0 - mean) * extra
            return log_beta(a, b) - a * jnp.log(y) - b * jnp.log1p(-y)

        return surprise(mu) - surprise(best)

    def distribution(self, mu: Any, extra: Any, trials: Any = None) -> Distribution:
        return Beta(mu * extra, (1.0 - mu) * extra)


BY_FAMILY: dict[Any, Response] = {
    Normal: NormalResponse(),
    Bernoulli: BinomialResponse(name="Bernoulli", family=Bernoulli, whole=True),
    Binomial: BinomialResponse(),
    Poisson: PoissonResponse(),
    NegativeBinomial: NegativeBinomialResponse(),
    Gamma: GammaResponse(),
    InverseGaussian: InverseGaussianResponse(),
    Beta: BetaResponse(),
}
"""Laws of responses by family."""
