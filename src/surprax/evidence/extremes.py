"""Evidence for a uniform distribution: how many observations, and the least and the greatest of them."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence.base import Evidence
from surprax.numerics.precision import is_traced, to_float64

__all__ = ["Extremes"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Extremes(Evidence, kind="extremes"):
    """Evidence as a count and the ends of the data.

    It adds and scales like all evidence. It subtracts as long as what is taken away lies within the ends that are left: where it
    reaches an end, what the end would be without it is not known, and that is an error.

    Attributes:
        count: number of observations (the sum of their weights), shape batch.
        low, high: the least and the greatest observation, shape batch; +inf and −inf where there is none.
        known: parameters taken as known, by name.
        labels: names of the groups along the leading axis, or None.
    """

    count: Any
    low: Any
    high: Any
    known: dict[str, Any] = field(default_factory=dict)
    family: Any = field(default=None, metadata={"static": True})
    labels: tuple[Any, ...] | None = field(default=None, metadata={"static": True})

    def _arrays(self) -> dict[str, Any]:
        return {"count": self.count, "low": self.low, "high": self.high}

    def _replace(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def _merge(self, other: Self) -> Self:
        xp = jnp if is_traced(self, other) else np
        return replace(
            self,
            count=self.count + other.count,
            low=xp.minimum(self.low, other.low),
            high=xp.maximum(self.high, other.high),
            labels=self.labels if self.labels is not None else other.labels,
        )

    def _remove(self, other: Self) -> Self:
        count = self.count - other.count
        left = (other.count == 0) | ((other.low > self.low) & (other.high < self.high) & (count > 0))
        if not is_traced(left) and not np.all(left):
            raise ValueError(
                "Evidence of a uniform distribution can be taken away only where it lies within the ends of what is left: the least"
                " and the greatest observation hide the others. Make evidence of the remaining observations instead."
            )
        return replace(self, count=count)

    def total(self) -> Self:
        """The sum over the leading axis (over groups, or folds)."""
        return replace(
            self, count=self.count.sum(axis=0), low=self.low.min(axis=0), high=self.high.max(axis=0), labels=None
        )

    def __getitem__(self, index: Any) -> Self:
        labels = self.labels
        if labels is not None:
            picked = np.asarray(range(len(labels)))[index]
            labels = tuple(labels[i] for i in picked) if np.ndim(picked) else None
        return replace(self, **{name: v[index] for name, v in self._arrays().items()}, labels=labels)

    def __mul__(self, factor: Any) -> Self:
        factor = factor if is_traced(factor) else np.asarray(to_float64(factor))
        if not is_traced(factor) and np.any(~(factor >= 0)):
            raise ValueError(
                f"Evidence is scaled by a number that is at least 0; got {factor.min()}. To take evidence away, subtract it."
            )
        xp = jnp if is_traced(factor, self) else np
        count = self.count * factor
        return replace(
            self,
            count=count,
            low=xp.where(count > 0, self.low, np.inf),
            high=xp.where(count > 0, self.high, -np.inf),
        )

    __rmul__ = __mul__

    def log_likelihood(self, distribution: Any) -> Any:
        """Total log-likelihood of `distribution` in nats: −count · log(high − low), or −inf where it does not hold all data."""
        both = distribution.log_prob(self.low), distribution.log_prob(self.high)
        each = jnp.minimum(*both)
        none = self.count == 0
        return jnp.where(none, 0.0, self.count * jnp.where(none, 0.0, each))

    def excess_surprise(self, distribution: Any) -> Any:
        """Surprise beyond that of the fit, log L(fit) − log L(q) ≥ 0, in nats; raises `ValueError` where there is no fit."""
        return self.log_likelihood(self.fit()) - self.log_likelihood(distribution)

    @classmethod
    def _from_document(cls, family: Any, known: dict[str, Any], labels: Any, arrays: dict[str, Any]) -> Self:
        none = arrays["count"] == 0
        low, high = np.where(none, np.inf, arrays["low"]), np.where(none, -np.inf, arrays["high"])
        return cls(arrays["count"], low, high, known=known, family=family, labels=labels)

    def _document(self) -> dict[str, Any]:
        """Ends that are infinite, because there are no data, are written as 0."""
        none = np.asarray(self.count) == 0
        return {"count": self.count, "low": np.where(none, 0.0, self.low), "high": np.where(none, 0.0, self.high)}

    def __repr__(self) -> str:
        if is_traced(self.count):
            return f"Evidence({self.family.__name__}, traced)"
        groups = f"{len(self.count)} groups, " if np.ndim(self.count) else ""
        ends = f", from {np.min(self.low):g} to {np.max(self.high):g}" if np.any(self.count) else ""
        return f"Evidence({self.family.__name__}, {groups}count={np.sum(self.count):g}{ends})"
