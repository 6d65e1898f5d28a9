"""Curves along one parameter: its profile log-likelihood, and how surprised each value of it would be by the data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats as st

from surprax.estimate.checks import finite_numbers
from surprax.estimate.intervals import Path
from surprax.units import nats_per

if TYPE_CHECKING:
    from surprax.estimate.estimate import Estimate

__all__ = ["Compatibility", "Profile"]

NUMBER, REACH = 41, 3.5


@dataclass(frozen=True)
class Profile:
    """The log-likelihood along a parameter, maximised over all else.

    Attributes:
        label: of the parameter.
        values: of it, increasing, shape (m,).
        log_likelihoods: in nats, shape (m,).
        estimate: the value of the maximum.
        maximum: the log-likelihood there.

    >>> import surprax as sx
    >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
    >>> print(est.profile("concentration", [0.7, 0.8, 1.0]).signed_root.round(2))
    [ 2.59  1.37 -0.85]
    """

    label: str
    values: np.ndarray
    log_likelihoods: np.ndarray
    estimate: float
    maximum: float

    @classmethod
    def of(cls, estimate: "Estimate", label: str, values: Any = None) -> "Profile":
        """See `Estimate.profile`."""
        path = Path(estimate, label)
        if values is None:
            u = path.start + REACH * path.error * np.linspace(-1.0, 1.0, NUMBER)
        else:
            given = np.atleast_1d(finite_numbers(values, f"Values of {label} to look at are"))
            if given.ndim != 1 or not len(given):
                raise ValueError(f"Values of {label} to look at are one or more numbers; got shape {np.shape(values)}.")
            u = np.array([path.free(value) for value in given])
        found = np.full(len(u), -np.inf)
        for side in (u < path.start, u >= path.start):  # outwards, each from the one before
            for i in np.flatnonzero(side)[np.argsort(np.abs(u[side] - path.start))]:
                end = path.at(u[i])
                found[i] = -end.value if np.isfinite(end.value) else -np.inf
        where = np.array([path.value(one) for one in u])
        order = np.argsort(where, kind="stable")
        return cls(label, where[order], found[order], float(estimate[label]), estimate.log_likelihood)

    @property
    def signed_root(self) -> np.ndarray:
        """sign(θ̂ − θ) √(2(ℓ̂ − ℓ(θ))), standard normal under θ: nearly a straight line."""
        gap = np.sqrt(np.maximum(2.0 * (self.maximum - self.log_likelihoods), 0.0))
        return np.sign(self.estimate - self.values) * gap


@dataclass(frozen=True)
class Compatibility:
    """How surprised each value of a parameter would be by the data.

    Attributes:
        label: of the parameter.
        values: of it, increasing, shape (m,).
        bits: s-values, −log₂ p of the likelihood-ratio test of each value, shape (m,): 0 at the estimate, 4.32 at p = .05.
        estimate: the value of the maximum.

    >>> import surprax as sx
    >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
    >>> low, high = est.confidence_interval("concentration", method="profile")
    >>> print(est.compatibility("concentration", [low, high]).p_values.round(6))
    [0.05 0.05]
    """

    label: str
    values: np.ndarray
    bits: np.ndarray
    estimate: float

    @classmethod
    def of(cls, estimate: "Estimate", label: str, values: Any = None) -> "Compatibility":
        """See `Estimate.compatibility`."""
        profile = Profile.of(estimate, label, values)
        with np.errstate(invalid="ignore"):
            log_p = np.log(2.0) + st.norm.logsf(np.abs(profile.signed_root))
        return cls(label, profile.values, np.maximum(-log_p, 0.0) / nats_per("bit"), profile.estimate)

    @property
    def p_values(self) -> np.ndarray:
        """2^−bits."""
        return np.exp2(-self.bits)

    def plot(self) -> Any:
        """The curve as a matplotlib Figure, bits downwards: what is compatible stands out as a peak."""
        import importlib

        return importlib.import_module("surprax.plots").compatibility(self)
