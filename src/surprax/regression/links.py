"""Links: how a mean follows from a linear predictor, μ = g⁻¹(η).

A link gives the logarithms of μ and of 1 − μ as well, each by the formula that keeps its digits: a probability of 10⁻³⁰ has a
logarithm, and so has its complement.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from surprax.numerics.elementary import log1mexp
from surprax.numerics.normal import log_ndtr, normal_quantile_from_log

__all__ = ["LINKS", "Link", "Power", "link_named"]


@dataclass(frozen=True)
class Link:
    """A link, η = g(μ). Write another one as a subclass with `of` and `inverse`.

    Attributes:
        name: by which `glm` knows it.
        domain: of means, as (lowest, highest).
    """

    name: str = ""
    domain: tuple[float, float] = (float("-inf"), float("inf"))

    def of(self, mu: Any) -> Any:
        """η = g(μ)."""
        raise NotImplementedError

    def inverse(self, eta: Any) -> Any:
        """μ = g⁻¹(η)."""
        raise NotImplementedError

    def log_inverse(self, eta: Any) -> Any:
        """log μ."""
        return jnp.log(self.inverse(eta))

    def log1m_inverse(self, eta: Any) -> Any:
        """log(1 − μ)."""
        return jnp.log1p(-self.inverse(eta))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Identity(Link):
    """η = μ."""

    name: str = "identity"

    def of(self, mu: Any) -> Any:
        return mu

    def inverse(self, eta: Any) -> Any:
        return eta


@dataclass(frozen=True)
class Log(Link):
    """η = log μ."""

    name: str = "log"
    domain: tuple[float, float] = (0.0, float("inf"))

    def of(self, mu: Any) -> Any:
        return jnp.log(mu)

    def inverse(self, eta: Any) -> Any:
        return jnp.exp(eta)

    def log_inverse(self, eta: Any) -> Any:
        return eta

    def log1m_inverse(self, eta: Any) -> Any:
        return log1mexp(-eta)


@dataclass(frozen=True)
class Logit(Link):
    """η = log μ − log(1 − μ)."""

    name: str = "logit"
    domain: tuple[float, float] = (0.0, 1.0)

    def of(self, mu: Any) -> Any:
        return jnp.log(mu) - jnp.log1p(-mu)

    def inverse(self, eta: Any) -> Any:
        return jax.nn.sigmoid(eta)

    def log_inverse(self, eta: Any) -> Any:
        return jax.nn.log_sigmoid(eta)

    def log1m_inverse(self, eta: Any) -> Any:
        return jax.nn.log_sigmoid(-eta)


@dataclass(frozen=True)
class Probit(Link):
    """η = Φ⁻¹(μ)."""

    name: str = "probit"
    domain: tuple[float, float] = (0.0, 1.0)

    def of(self, mu: Any) -> Any:
        return normal_quantile_from_log(jnp.log(mu), jnp.log1p(-jnp.asarray(mu)))

    def inverse(self, eta: Any) -> Any:
        return jnp.exp(log_ndtr(jnp.asarray(eta)))

    def log_inverse(self, eta: Any) -> Any:
        return log_ndtr(jnp.asarray(eta))

    def log1m_inverse(self, eta: Any) -> Any:
        return log_ndtr(-jnp.asarray(eta))


@dataclass(frozen=True)
class Cauchit(Link):
    """η = tan(π(μ − ½))."""

    name: str = "cauchit"
    domain: tuple[float, float] = (0.0, 1.0)

    def of(self, mu: Any) -> Any:
        return jnp.tan(jnp.pi * (mu - 0.5))

    def inverse(self, eta: Any) -> Any:
        return _cauchy_tail(-jnp.asarray(eta))

    def log1m_inverse(self, eta: Any) -> Any:
        return jnp.log(_cauchy_tail(jnp.asarray(eta)))


def _cauchy_tail(x: Array) -> Array:
    """P(X > x) of a Cauchy variable; arctan of 1/x has the digits of far tails."""
    far = x > 1.0
    return jnp.where(far, jnp.arctan(1.0 / jnp.where(far, x, 1.0)), 0.5 * jnp.pi - jnp.arctan(x)) / jnp.pi


@dataclass(frozen=True)
class CLogLog(Link):
    """η = log(−log(1 − μ))."""

    name: str = "cloglog"
    domain: tuple[float, float] = (0.0, 1.0)

    def of(self, mu: Any) -> Any:
        return jnp.log(-jnp.log1p(-mu))

    def inverse(self, eta: Any) -> Any:
        return -jnp.expm1(-jnp.exp(eta))

    def log_inverse(self, eta: Any) -> Any:
        return log1mexp(jnp.exp(eta))

    def log1m_inverse(self, eta: Any) -> Any:
        return -jnp.exp(eta)


@dataclass(frozen=True)
class LogLog(Link):
    """η = −log(−log μ)."""

    name: str = "loglog"
    domain: tuple[float, float] = (0.0, 1.0)

    def of(self, mu: Any) -> Any:
        return -jnp.log(-jnp.log(mu))

    def inverse(self, eta: Any) -> Any:
        return jnp.exp(-jnp.exp(-eta))

    def log_inverse(self, eta: Any) -> Any:
        return -jnp.exp(-eta)

    def log1m_inverse(self, eta: Any) -> Any:
        return log1mexp(jnp.exp(-eta))


@dataclass(frozen=True)
class Power(Link):
    """η = μᵖ, of positive means.

    Args:
        power: p, not 0.
    """

    name: str = "power"
    domain: tuple[float, float] = (0.0, float("inf"))
    power: float = 1.0

    def of(self, mu: Any) -> Any:
        return mu**self.power

    def inverse(self, eta: Any) -> Any:
        return jnp.exp(self.log_inverse(eta))

    def log_inverse(self, eta: Any) -> Any:
        return jnp.log(eta) / self.power

    def __str__(self) -> str:
        return self.name if self.name != "power" else f"power({self.power:g})"


LINKS: dict[str, Link] = {
    link.name: link
    for link in (
        Identity(),
        Log(),
        Logit(),
        Probit(),
        CLogLog(),
        LogLog(),
        Cauchit(),
        Power(name="inverse", power=-1.0),
        Power(name="inverse_squared", power=-2.0),
        Power(name="sqrt", power=0.5),
    )
}
"""Links by name."""


def link_named(link: str | Link) -> Link:
    """A link by its name, or itself.

    >>> print(link_named("logit").inverse(0.0))
    0.5
    """
    if isinstance(link, Link):
        return link
    if not isinstance(link, str) or link not in LINKS:
        raise ValueError(f"A link is one of {', '.join(LINKS)}, or an object of class Link; got {link!r}.")
    return LINKS[link]
