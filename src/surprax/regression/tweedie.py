"""Tweedie responses: sums of a Poisson number of gamma variables, with an atom at 0, such as claims of a year or rain of a day."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families import Distribution
from surprax.numerics.elementary import expm1_minus
from surprax.regression.links import Link
from surprax.regression.responses import Dispersed
from surprax.regression.tweedie_series import saturated_series

__all__ = ["Tweedie"]

NAMED = {0: "Normal", 1: "Poisson", 2: "Gamma", 3: "InverseGaussian"}


@dataclass(frozen=True, init=False)
class Tweedie(Dispersed):
    """The exponential dispersion model with variance φ μ^p, 1 < p < 2: a compound Poisson–gamma law, to be the family of `glm`.

        P(y = 0) = exp(−μ^(2−p)/(φ (2 − p))),      ½ d(y, μ) = [y^(2−p)/(1−p) − (2−p) y μ^(1−p)/(1−p) + μ^(2−p)]/(2 − p)

    The dispersion φ is fitted by maximum likelihood, by the density itself; standard errors go by Pearson's estimate of it, as for
    gamma responses.

    Args:
        power: p, between 1 and 2, of variances.

    Source: Jørgensen (1987); Dunn & Smyth (2005).

    >>> import surprax as sx
    >>> data = {"rain": [0.3, 1.2, 0.0, 3.4, 0.0, 0.5, 7.5, 4.1], "wind": [0, 1, 0, 1, 1, 0, 2, 2]}
    >>> est = sx.glm("rain ~ wind", data, family=Tweedie(1.5))
    >>> print({name: round(float(value), 4) for name, value in est.params.items()})
    {'Intercept': -1.1817, 'wind': 1.4923, 'dispersion': 1.1417}
    """

    power: float = 1.5

    def __init__(self, power: float) -> None:
        try:
            p = float(power)
        except (TypeError, ValueError):
            p = float("nan")
        if not 1.0 < p < 2.0:
            use = f"; for {p:g} use family={NAMED[int(p)]}" if p in NAMED else ""
            raise ValueError(
                f"The power of a Tweedie law is a number between 1 and 2, where it is a compound Poisson-gamma law{use}; got"
                f" {power!r}. (Powers 0, 1, 2 and 3 are the families Normal, Poisson, Gamma and InverseGaussian.)"
            )
        fields: dict[str, Any] = {
            "name": f"Tweedie({p:g})",
            "family": None,
            "link": "log",
            "domain": (0.0, np.inf),
            "support": (0.0, np.inf),
            "closed": (True, False),
            "whole": False,
            "extra": "dispersion",
            "power": p,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def kernel(self, y: Array, eta: Array, link: Link) -> Array:
        p, log_mu = self.power, link.log_inverse(eta)
        return jnp.exp((2.0 - p) * log_mu) / (2.0 - p) + y * jnp.exp((1.0 - p) * log_mu) / (p - 1.0)

    def constant(self, y: Array) -> Array:
        p = self.power
        return -(y ** (2.0 - p)) / ((p - 1.0) * (2.0 - p))

    def half_deviance(self, y: Array, mu: Array) -> Array:
        """μ^q [q (eᵘ − 1 − u) − (e^(qu) − 1 − qu)]/(q (1 − q)) with u = log(y/μ) near 0 and q = 2 − p; as it stands elsewhere."""
        q = 2.0 - self.power
        ratio = y / mu
        near = (ratio > 0.3) & (ratio < 8.0)
        u = jnp.log1p(jnp.where(near, y - mu, 0.0) / mu)
        close = q * expm1_minus(u) - expm1_minus(q * u)
        far = 1.0 - q + q * ratio - jnp.where(near, 1.0, ratio) ** q
        return mu**q * jnp.where(near, close, far) / (q * (1.0 - q))

    def variance(self, mu: Any) -> Any:
        return mu**self.power

    def log_dispersion(self, log_extra: Any) -> Any:
        return log_extra

    def base(self, y: np.ndarray, precision: np.ndarray) -> np.ndarray:
        return -np.log(np.where(y > 0, y, 1.0))

    def precisions(self, y: Any, precision: Any) -> Any:
        """By how much the dispersion that `saturated` sees is smaller, φ/(p y^(2−p)); 0 for y = 0, whose log p(y | y, φ) is 0."""
        return precision * y ** (2.0 - self.power)

    def saturated(self, log_dispersion: Any) -> Any:
        return saturated_series(self.power, -jnp.asarray(log_dispersion))

    def distribution(self, mu: Any, extra: Any, trials: Any = None) -> Distribution:
        raise ValueError(
            "There is no distribution object for Tweedie responses: predict gives means and their intervals, and residuals of all"
            ' kinds but "quantile".'
        )
