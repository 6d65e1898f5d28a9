"""The densities that several groups time: their data, their peers, and the truth about them in float64."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import surprax as sx

__all__ = ["GAMMA", "NEGATIVE_BINOMIAL", "NORMAL", "Density"]


@dataclass(frozen=True)
class Density:
    """A family at parameters that are near its data, but not their maximum (there a gradient would be all rounding).

    Attributes:
        family: name in surprax.
        parameters: in the order of its constructor, which is that of its NumPyro namesake.
        draw: observations from a NumPy generator.
        numpyro: name in `numpyro.distributions`.
        scipy: log-densities from observations and parameters.
        gradient: derivatives of the log-densities in each parameter, from observations and parameters.
    """

    family: str
    parameters: tuple[float, ...]
    draw: Callable[[np.random.Generator, int], np.ndarray]
    numpyro: str
    scipy: Callable[..., np.ndarray]
    gradient: Callable[..., tuple[np.ndarray, ...]]

    def ours(self, *parameters: Any) -> Any:
        return getattr(sx, self.family)(*parameters)

    def theirs(self, *parameters: Any) -> Any:
        import numpyro.distributions

        return getattr(numpyro.distributions, self.numpyro)(*parameters, validate_args=False)

    def data(self, rows: int) -> tuple[np.ndarray, jax.Array]:
        """Observations as float32 (int32, if discrete), on the host and on the device."""
        x = self.draw(np.random.default_rng(20_240_229), rows)
        x = x.astype(np.int32 if x.dtype.kind == "i" else np.float32)
        return x, jax.device_put(x)


def gamma_log_density(x: np.ndarray, a: float, rate: float) -> np.ndarray:
    from scipy import stats

    return stats.gamma.logpdf(x, a, scale=1 / rate)


def gamma_gradient(x: np.ndarray, a: float, rate: float) -> tuple[np.ndarray, ...]:
    from scipy import special

    return np.log(rate) - special.digamma(a) + np.log(x), a / rate - x


def normal_log_density(x: np.ndarray, loc: float, scale: float) -> np.ndarray:
    from scipy import stats

    return stats.norm.logpdf(x, loc, scale)


def normal_gradient(x: np.ndarray, loc: float, scale: float) -> tuple[np.ndarray, ...]:
    z = (x - loc) / scale
    return z / scale, (z * z - 1) / scale


def negative_binomial_log_density(x: np.ndarray, mean: float, concentration: float) -> np.ndarray:
    from scipy import stats

    return stats.nbinom.logpmf(x, concentration, concentration / (concentration + mean))


def negative_binomial_gradient(x: np.ndarray, mean: float, concentration: float) -> tuple[np.ndarray, ...]:
    from scipy import special

    share = (x + concentration) / (concentration + mean)
    digammas = special.digamma(x + concentration) - special.digamma(concentration)
    return x / mean - share, digammas + np.log(concentration / (concentration + mean)) + 1 - share


GAMMA = Density(
    "Gamma",
    (3.0, 2.0),
    lambda rng, n: rng.gamma(2.5, 1 / 1.5, n),
    "Gamma",
    gamma_log_density,
    gamma_gradient,
)
NORMAL = Density(
    "Normal",
    (1.2, 1.8),
    lambda rng, n: rng.normal(1.0, 2.0, n),
    "Normal",
    normal_log_density,
    normal_gradient,
)
NEGATIVE_BINOMIAL = Density(
    "NegativeBinomial",
    (3.5, 1.8),
    lambda rng, n: rng.negative_binomial(1.5, 1.5 / (1.5 + 4.0), n),
    "NegativeBinomial2",
    negative_binomial_log_density,
    negative_binomial_gradient,
)
