"""Evidence for exponential families: a count, a mean, and Jensen gaps."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence.base import Evidence
from surprax.evidence.layout import NEUTRAL, Layout
from surprax.numerics.precision import in_float64, is_traced, to_float64

__all__ = ["Moments"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Moments(Evidence, kind="moments"):
    """Evidence as count, mean of the family's carrier and Jensen gaps (see `surprax.evidence.layout`).

    Attributes:
        count: number of observations (the sum of their weights), shape batch.
        mean: mean of the carrier, shape batch.
        gaps: Jensen gaps, shape batch + (number of gaps,).
        log_base: Σ log h(x), shape batch: the part of the log-likelihood that no parameter changes.
        known: parameters taken as known, by name.
        labels: names of the groups along the leading axis, or None.
    """

    count: Any
    mean: Any
    gaps: Any
    log_base: Any
    known: dict[str, Any] = field(default_factory=dict)
    family: Any = field(default=None, metadata={"static": True})
    labels: tuple[Any, ...] | None = field(default=None, metadata={"static": True})

    @property
    def layout(self) -> Layout:
        return self.family.layout

    def _arrays(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean, "gaps": self.gaps, "log_base": self.log_base}

    def _replace(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def _merge(self, other: Self) -> Self:
        labels = self.labels if self.labels is not None else other.labels
        return replace(self, **_merged(self.layout, self._arrays(), other._arrays()), labels=labels)

    def _remove(self, other: Self) -> Self:
        rest = _removed(self.layout, self._arrays(), other._arrays())
        excess = rest.pop("excess")
        if not is_traced(excess) and np.any(excess > 0):
            first = tuple(np.argwhere(excess > 0)[0]) if np.ndim(excess) else ()
            where = f" (first at index {first[0]})" if first else ""
            have, take = (np.broadcast_to(e.count, np.shape(excess))[first] for e in (self, other))
            raise ValueError(
                f"What is left after a subtraction must be evidence of some observations: {have:g} minus {take:g} observations"
                f" leave none with these statistics{where}. Subtract only what was added before."
            )
        return replace(self, **rest)

    def total(self) -> Self:
        """The sum over the leading axis (over groups, or folds)."""
        return replace(self, **_totalled(self.layout, self._arrays()), labels=None)

    def __getitem__(self, index: Any) -> Self:
        arrays = {name: value[index] for name, value in self._arrays().items()}
        labels = self.labels
        if labels is not None:
            picked = np.asarray(range(len(labels)))[index]
            labels = tuple(labels[i] for i in picked) if np.ndim(picked) else None
        known = {k: v[index] if np.ndim(v) else v for k, v in self.known.items()}
        return replace(self, **arrays, known=known, labels=labels)

    def __mul__(self, factor: Any) -> Self:
        if not is_traced(factor) and np.any(~(np.asarray(factor) >= 0)):
            least = np.min(np.asarray(factor))
            raise ValueError(
                f"Evidence is scaled by a number that is at least 0; got {least}. To take evidence away, subtract it."
            )
        factor = to_float64(factor) if not is_traced(factor) else factor
        count = self.count * factor
        empty = count == 0
        pick: Any = np.where if not is_traced(count) else jnp.where
        return replace(
            self,
            count=count,
            mean=pick(empty, NEUTRAL, self.mean),
            gaps=pick(empty[..., None], 0.0, self.gaps) if not isinstance(empty, bool) else self.gaps,
            log_base=pick(empty, 0.0, self.log_base * factor),
        )

    __rmul__ = __mul__

    def statistics(self) -> Any:
        """Mean of the sufficient statistics T(x), shape batch + (dimension,): the raw, less well-conditioned form."""
        return _raw_statistics(self)

    def log_likelihood(self, distribution: Any) -> Any:
        """Total log-likelihood of `distribution` in nats: log L(q) = log L(fit) − n·KL(fit‖q).

        The difference from the maximum is computed as such, so that its curvature is right in float32 at any n. Where the
        evidence has no maximum (a single point, say) the mean log-density is used instead. Shape: batch of the evidence, broadcast
        with the batch of the distribution.
        """
        return self.family._evidence_log_likelihood(self, distribution)

    def excess_surprise(self, distribution: Any) -> Any:
        """Surprise that `distribution` adds to what no member of the family can remove: n·KL(fit‖q) ≥ 0, in nats.

        This is −log L(q) without its greatest constant, log L(fit), next to which float32 cannot hold differences of a few nats at
        n = 1e9: the energy for a sampler. Where the evidence has no maximum it is −log L(q) without Σ log h.
        """
        return self.family._evidence_excess(self, distribution)

    @classmethod
    def _from_document(cls, family: Any, known: dict[str, Any], labels: Any, arrays: dict[str, Any]) -> Self:
        gaps = arrays["gaps"].reshape((*arrays["count"].shape, len(family.layout.gaps)))
        return cls(**{**arrays, "gaps": gaps}, known=known, family=family, labels=labels)

    def __repr__(self) -> str:
        if is_traced(self.count):
            return f"Evidence({self.family.__name__}, traced)"
        if np.ndim(self.count):
            return f"Evidence({self.family.__name__}, {len(self.count)} groups, count={np.sum(self.count):g})"
        if self.count == 0:
            return f"Evidence({self.family.__name__}, count=0)"
        parts = [f"mean {self.layout.carrier.name}={float(self.mean):.6g}"]
        parts += [f"{gap.name}={float(value):.6g}" for gap, value in zip(self.layout.gaps, self.gaps)]
        return f"Evidence({self.family.__name__}, count={float(self.count):g}, {', '.join(parts)})"


def _same_batch(a: dict[str, Any], b: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    shape = jnp.broadcast_shapes(jnp.shape(a["count"]), jnp.shape(b["count"]))

    def widen(e: dict[str, Any]) -> dict[str, Any]:
        return {k: jnp.broadcast_to(v, (*shape, *jnp.shape(v)[-1:]) if k == "gaps" else shape) for k, v in e.items()}

    return widen(a), widen(b)


def _merge(layout: Layout, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    a, b = _same_batch(a, b)
    count = a["count"] + b["count"]
    safe = jnp.where(count > 0, count, 1.0)
    share_a, share_b = a["count"] / safe, b["count"] / safe
    mean = a["mean"] + share_b * (b["mean"] - a["mean"])
    mean = jnp.where(b["count"] == 0, a["mean"], jnp.where(a["count"] == 0, b["mean"], mean))
    return {
        "count": count,
        "mean": mean,
        "gaps": share_a[..., None] * (a["gaps"] + _between(layout, a["mean"], mean))
        + share_b[..., None] * (b["gaps"] + _between(layout, b["mean"], mean)),
        "log_base": a["log_base"] + b["log_base"],
    }


def _total(layout: Layout, e: dict[str, Any]) -> dict[str, Any]:
    count = jnp.sum(e["count"], axis=0)
    share = e["count"] / jnp.where(count > 0, count, 1.0)
    rough = jnp.sum(share * e["mean"], axis=0)
    mean = rough + jnp.sum(share * (e["mean"] - rough[None]), axis=0)
    mean = jnp.where(count > 0, mean, NEUTRAL)
    between = _between(layout, e["mean"], jnp.broadcast_to(mean, e["mean"].shape))
    gaps = jnp.sum(share[..., None] * (e["gaps"] + between), axis=0)
    return {"count": count, "mean": mean, "gaps": gaps, "log_base": jnp.sum(e["log_base"], axis=0)}


def _remove(layout: Layout, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """`a` without `b`, and by how much the result leaves the cone of evidence (`excess` > 0) beyond rounding."""
    a, b = _same_batch(a, b)
    eps = 64 * jnp.finfo(a["mean"].dtype).eps
    count = a["count"] - b["count"]
    slack = eps * a["count"]
    empty = jnp.abs(count) <= slack
    safe = jnp.where(empty, 1.0, count)
    shift = (b["count"] / safe) * (a["mean"] - b["mean"])
    carrier = layout.carrier
    mean = a["mean"] + shift
    # Rounding may put the mean of a few small values slightly outside; a mean on the border (all zeros) is inside.
    border = eps * a["count"] / jnp.abs(safe) * jnp.maximum(jnp.abs(a["mean"]), jnp.abs(b["mean"]))
    outside = jnp.maximum(carrier.lower - mean, mean - carrier.upper) > border
    mean = jnp.clip(mean, carrier.lower, carrier.upper)
    interior = (mean > carrier.lower) & (mean < carrier.upper)
    mean_or_a = jnp.where(interior & ~empty, mean, a["mean"])
    ratio_a, ratio_b = a["count"] / safe, b["count"] / safe
    within = ratio_a[..., None] * a["gaps"] - ratio_b[..., None] * b["gaps"]
    between = _between(layout, mean_or_a, a["mean"]) + ratio_b[..., None] * _between(layout, b["mean"], a["mean"])
    gaps = within - between
    tolerance = jnp.sqrt(eps) * jnp.abs(ratio_a[..., None] * a["gaps"]) * 1e-2 + eps * jnp.abs(between)
    bad = jnp.any(gaps < -tolerance, axis=-1) & ~empty
    leftover = empty & (
        jnp.abs(a["mean"] - b["mean"]) > jnp.sqrt(eps) * jnp.maximum(jnp.abs(a["mean"]), jnp.abs(b["mean"]))
    )
    excess = (count < -slack) | (outside & ~empty) | bad | leftover
    return {
        "count": jnp.where(empty, 0.0, count),
        "mean": jnp.where(empty, NEUTRAL, mean),
        "gaps": jnp.where(empty[..., None], 0.0, jnp.maximum(gaps, 0.0)),
        "log_base": jnp.where(empty, 0.0, a["log_base"] - b["log_base"]),
        "excess": jnp.where(excess, 1.0, 0.0),
    }


def _between(layout: Layout, a: Any, b: Any) -> Any:
    """D(a‖b) for every gap, stacked on the last axis. Means on the border of their domain (no gap there) give 0."""
    carrier = layout.carrier
    inside = (a > carrier.lower) & (a < carrier.upper) & (b > carrier.lower) & (b < carrier.upper)
    a, b = jnp.where(inside, a, NEUTRAL), jnp.where(inside, b, NEUTRAL)
    divergences = layout.divergences(a, b)
    return jnp.stack(divergences, axis=-1) if divergences else jnp.zeros((*jnp.shape(a), 0), jnp.result_type(a))


_merged = in_float64(_merge, static_argnames=("layout",))
_removed = in_float64(_remove, static_argnames=("layout",))
_totalled = in_float64(_total, static_argnames=("layout",))


@in_float64
def _raw_statistics(e: Moments) -> Any:
    return e.family._mean_statistics(e)
