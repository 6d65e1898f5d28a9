"""Evidence for exponential families: a count, a mean, and Jensen gaps."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence.base import Evidence
from surprax.evidence.layout import Layout
from surprax.numerics.precision import in_float64, is_traced, to_float64

__all__ = ["Moments"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Moments(Evidence, kind="moments"):
    """Evidence as count, mean of the family's carrier and Jensen gaps (see `surprax.evidence.layout`).

    Attributes:
        count: number of observations (the sum of their weights), shape batch.
        mean: mean of the carrier, shape batch (+ the length of a vector carrier).
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
        wide = self.family.known_event_dim
        known = {k: v[index] if np.ndim(v) > wide(k) else v for k, v in self.known.items()}
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
            mean=pick(_beside(empty, self.layout), self.layout.carrier.neutral_like(self.mean), self.mean),
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
        self.check_known(distribution)
        return self.family._evidence_log_likelihood(self._unlabelled(), distribution)

    def excess_surprise(self, distribution: Any) -> Any:
        """Surprise that `distribution` adds to what no member of the family can remove: n·KL(fit‖q) ≥ 0, in nats.

        This is −log L(q) without its greatest constant, log L(fit), next to which float32 cannot hold differences of a few nats at
        n = 1e9: the energy for a sampler. Where the evidence has no maximum it is −log L(q) without Σ log h.
        """
        self.check_known(distribution)
        return self.family._evidence_excess(self._unlabelled(), distribution)

    def _unlabelled(self) -> "Moments":
        """Without the names of groups, each set of which would be compiled for anew."""
        return self if self.labels is None else self._replace(labels=None)

    def check_known(self, distribution: Any) -> None:
        """Raise `ValueError` where a parameter that the statistics depend on is another one in the distribution."""
        for name in self.family.known_parameters:
            mine, its = self.known.get(name), getattr(distribution, name, None)
            if mine is None or its is None or is_traced(mine, its):
                continue
            mine, its = np.asarray(mine, np.float64), np.asarray(its, np.float64)
            wide = self.family.known_event_dim(name)
            if mine.ndim > wide or its.ndim > wide:  # batches, which line up one way or another
                mine, its = np.unique(mine), np.unique(its)
            # a distribution may hold its parameters in float32
            if mine.shape != its.shape or not np.allclose(mine, its, rtol=2e-7, atol=0.0):
                raise ValueError(
                    f"Evidence of {self.family.__name__} was made for {name}={mine.tolist()}, on which its statistics depend; the"
                    f" distribution has {name}={its.tolist()}. Make evidence for that value, or keep the observations."
                )

    @classmethod
    def _from_document(cls, family: Any, known: dict[str, Any], labels: Any, arrays: dict[str, Any]) -> Self:
        gaps = arrays["gaps"]
        if gaps.size == 0:
            gaps = gaps.reshape((*arrays["count"].shape, 0))
        return cls(**{**arrays, "gaps": gaps}, known=known, family=family, labels=labels)

    def __repr__(self) -> str:
        if is_traced(self.count):
            return f"Evidence({self.family.__name__}, traced)"
        if np.ndim(self.count):
            return f"Evidence({self.family.__name__}, {len(self.count)} groups, count={np.sum(self.count):g})"
        if self.count == 0:
            return f"Evidence({self.family.__name__}, count=0)"
        gaps = self.layout.split(self.gaps, self.mean.shape[-1]) if self.layout.rank else self.gaps
        parts = [f"mean {self.layout.carrier.name}={_told(self.mean)}"]
        parts += [f"{gap.name}={_told(value)}" for gap, value in zip(self.layout.gaps, gaps)]
        return f"Evidence({self.family.__name__}, count={float(self.count):g}, {', '.join(parts)})"


def _told(value: Any) -> str:
    if np.ndim(value) == 0:
        return f"{float(value):.6g}"
    return np.array2string(np.asarray(value), precision=6, separator=", ", threshold=6, max_line_width=120)


def _beside(v: Any, layout: Layout) -> Any:
    """A number of each batch entry, beside its mean."""
    return v[..., None] if layout.rank else v


def _same_batch(layout: Layout, a: dict[str, Any], b: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    shape = jnp.broadcast_shapes(jnp.shape(a["count"]), jnp.shape(b["count"]))
    last = {"gaps": 1, "mean": layout.rank}

    def widen(e: dict[str, Any]) -> dict[str, Any]:
        return {k: jnp.broadcast_to(v, (*shape, *jnp.shape(v)[jnp.ndim(v) - last.get(k, 0) :])) for k, v in e.items()}

    return widen(a), widen(b)


def _merge(layout: Layout, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    a, b = _same_batch(layout, a, b)
    count = a["count"] + b["count"]
    safe = jnp.where(count > 0, count, 1.0)
    share_a, share_b = a["count"] / safe, b["count"] / safe
    mean = a["mean"] + _beside(share_b, layout) * (b["mean"] - a["mean"])
    no_a, no_b = _beside(a["count"] == 0, layout), _beside(b["count"] == 0, layout)
    mean = jnp.where(no_b, a["mean"], jnp.where(no_a, b["mean"], mean))
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
    rough = jnp.sum(_beside(share, layout) * e["mean"], axis=0)
    mean = rough + jnp.sum(_beside(share, layout) * (e["mean"] - rough[None]), axis=0)
    mean = jnp.where(_beside(count > 0, layout), mean, layout.carrier.neutral_like(mean))
    between = _between(layout, e["mean"], jnp.broadcast_to(mean, e["mean"].shape))
    gaps = jnp.sum(share[..., None] * (e["gaps"] + between), axis=0)
    return {"count": count, "mean": mean, "gaps": gaps, "log_base": jnp.sum(e["log_base"], axis=0)}


def _remove(layout: Layout, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """`a` without `b`, and by how much the result leaves the cone of evidence (`excess` > 0) beyond rounding."""
    a, b = _same_batch(layout, a, b)
    eps = 64 * jnp.finfo(a["mean"].dtype).eps
    count = a["count"] - b["count"]
    slack = eps * a["count"]
    empty = jnp.abs(count) <= slack
    safe = jnp.where(empty, 1.0, count)
    shift = _beside(b["count"] / safe, layout) * (a["mean"] - b["mean"])
    carrier = layout.carrier
    mean = a["mean"] + shift
    # Rounding may put the mean of a few small values slightly outside; a mean on the border (all zeros) is inside.
    size = jnp.maximum(jnp.abs(a["mean"]), jnp.abs(b["mean"]))
    border = eps * _beside(a["count"] / jnp.abs(safe), layout) * size
    outside = jnp.maximum(carrier.lower - mean, mean - carrier.upper) > border
    mean = jnp.clip(mean, carrier.lower, carrier.upper)
    mean_or_a = jnp.where(_beside(carrier.is_inside(mean) & ~empty, layout), mean, a["mean"])
    ratio_a, ratio_b = a["count"] / safe, b["count"] / safe
    within = ratio_a[..., None] * a["gaps"] - ratio_b[..., None] * b["gaps"]
    between = _between(layout, mean_or_a, a["mean"]) + ratio_b[..., None] * _between(layout, b["mean"], a["mean"])
    gaps = within - between
    tolerance = jnp.sqrt(eps) * jnp.abs(ratio_a[..., None] * a["gaps"]) * 1e-2 + eps * jnp.abs(between)
    length = jnp.shape(mean)[-1] if layout.rank else 0
    bad = jnp.any(layout.least(gaps + tolerance, length) < 0, axis=-1) & ~empty
    leftover = jnp.abs(a["mean"] - b["mean"]) > jnp.sqrt(eps) * size
    if layout.rank:
        outside, leftover = jnp.any(outside, axis=-1), jnp.any(leftover, axis=-1)
    excess = (count < -slack) | (outside & ~empty) | bad | (leftover & empty)
    if all(gap.least is None for gap in layout.gaps):
        gaps = jnp.maximum(gaps, 0.0)
    return {
        "count": jnp.where(empty, 0.0, count),
        "mean": jnp.where(_beside(empty, layout), carrier.neutral_like(mean), mean),
        "gaps": jnp.where(empty[..., None], 0.0, gaps),
        "log_base": jnp.where(empty, 0.0, a["log_base"] - b["log_base"]),
        "excess": jnp.where(excess, 1.0, 0.0),
    }


def _between(layout: Layout, a: Any, b: Any) -> Any:
    """D(a‖b) for every gap, stacked on the last axis. Means on the border of their domain (no gap there) give 0."""
    carrier = layout.carrier
    inside = _beside(carrier.is_inside(a) & carrier.is_inside(b), layout)
    neutral = carrier.neutral_like(a)
    return layout.divergences(jnp.where(inside, a, neutral), jnp.where(inside, b, neutral))


_merged = in_float64(_merge, static_argnames=("layout",))
_removed = in_float64(_remove, static_argnames=("layout",))
_totalled = in_float64(_total, static_argnames=("layout",))


@in_float64
def _raw_statistics(e: Moments) -> Any:
    return e.family._mean_statistics(e)
