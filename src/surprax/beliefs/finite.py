"""Beliefs over finitely many hypotheses: vectors of surprise, up to a constant that is kept apart.

    sᵢ = log 1/p(hypothesis i),      posterior = prior + likelihood,      p(hypothesis i) = exp(−sᵢ) / Σ exp(−sⱼ)

Bayes' rule is addition, taking evidence back is subtraction, tempering and forgetting are multiplication by a number. Only
differences of surprise matter to what is believed; the constant is what all of it together says of the evidence, its
log-probability.

An impossible hypothesis (s = +∞) stays impossible whatever is added, and no subtraction brings it back. Where everything is
impossible, evidence and prior contradict each other: a belief says so (`contradiction`), and has no probabilities but zeros.
"""

import functools
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.beliefs.drawing import categorical
from surprax.beliefs.geometry import Geometry
from surprax.numerics.elementary import expm1_minus, logsumexp
from surprax.numerics.precision import is_traced
from surprax.units import Unit, from_nats, to_nats

if TYPE_CHECKING:
    from surprax.beliefs.ledger import Ledger

__all__ = ["Belief", "Ranking"]


class Ranking(NamedTuple):
    """Hypotheses in the order of their plausibility, the most plausible first.

    Attributes:
        labels: of each, for a single belief with labels; else their indices.
        probabilities: shape batch + (k,).
        indices: shape batch + (k,).
    """

    labels: Any
    probabilities: Array
    indices: Array


@jax.tree_util.register_pytree_with_keys_class
class Belief(Geometry):
    """What is believed of n hypotheses, as a vector of surprise.

    Args:
        surprise: sᵢ of each hypothesis in `unit`, up to a constant, on the last axis; +inf for an impossible one. Priors and
            likelihoods alike: log-likelihoods go in as −log_likelihood.
        labels: a name for each hypothesis, if any; all different.
        unit: of `surprise`.

    Attributes:
        excess: surprise in nats beyond `constant`, shape batch + (n,); the least of it is about 0.
        labels: a tuple, or None.

    Raises:
        ValueError: for NaN or −inf, with the index; for labels that are not as many as hypotheses, or not different.

    A belief is a pytree with batch axes on the left, for `jit`, `vmap` and `grad`.

    >>> prior = Belief.from_probabilities([0.5, 0.3, 0.2], labels=["a", "b", "c"])
    >>> likelihood = Belief.from_probabilities([0.1, 0.4, 0.4], normalised=False)
    >>> posterior = prior + likelihood
    >>> print(posterior.probabilities().round(3), round(float(np.exp(posterior.log_normalizer)), 2))
    [0.2  0.48 0.32] 0.25
    >>> print((posterior - likelihood).probabilities().round(3))
    [0.5 0.3 0.2]
    """

    excess: Array
    labels: tuple[Hashable, ...] | None
    _constant: tuple[Array, Array]  # nats, as a sum of two numbers of the dtype

    def __init__(self, surprise: ArrayLike, labels: Sequence[Hashable] | None = None, *, unit: Unit = "nat") -> None:
        known = None if is_traced(surprise) else np.asarray(surprise)
        if known is not None:
            if known.ndim == 0:
                raise ValueError("A belief has a surprise for each hypothesis, along an axis; got a single number.")
            if known.dtype.kind not in "fiub":
                raise ValueError(f"Surprises are real numbers; got an array of {known.dtype}.")
            bad = np.isnan(known) | (known == -np.inf) if known.dtype.kind == "f" else np.zeros(known.shape, bool)
            if np.any(bad):
                index = tuple(int(i) for i in np.argwhere(bad)[0])
                raise ValueError(
                    f"Surprise is a number or +inf; got {known[index]} at index {index if len(index) > 1 else index[0]}."
                    " What is certain has surprise 0, and what is impossible +inf."
                )
        s = to_nats(jnp.asarray(surprise), unit)
        s = s if jnp.issubdtype(s.dtype, jnp.floating) else s.astype(jnp.result_type(float))
        self.labels = _checked_labels(labels, s.shape[-1])
        zero = jnp.zeros(s.shape[:-1], s.dtype)
        self.excess, self._constant = _centred(s, (zero, zero))

    # Other ways to make one.

    @classmethod
    def from_probabilities(
        cls, p: ArrayLike, labels: Sequence[Hashable] | None = None, *, normalised: bool = True
    ) -> "Belief":
        """From probabilities, or from a likelihood (`normalised=False`), on the last axis.

        Raises:
            ValueError: for a negative or NaN entry, with its index; where probabilities do not add to 1 within 1e-4.

        >>> print(Belief.from_probabilities([0.5, 0.25, 0.25]).surprise("bit"))
        [1. 2. 2.]
        """
        if not is_traced(p):
            known = np.asarray(p, np.float64)
            if np.any(bad := ~(known >= 0.0)):
                index = tuple(int(i) for i in np.argwhere(bad)[0])
                where = index if len(index) != 1 else index[0]
                raise ValueError(f"Probabilities are at least 0; got {known[index]:g} at index {where}.")
            if normalised and known.ndim and np.any(off := np.abs(np.sum(known, axis=-1) - 1.0) > 1e-4):
                total = float(np.sum(known, axis=-1)[off].flat[0]) if known.ndim > 1 else float(np.sum(known))
                raise ValueError(
                    f"Probabilities add to 1; these add to {total:g}. A likelihood goes in with normalised=False."
                )
        p = jnp.asarray(p)
        p = p if jnp.issubdtype(p.dtype, jnp.floating) else p.astype(jnp.result_type(float))
        return cls(jnp.where(p > 0, -jnp.log(jnp.where(p > 0, p, 1.0)), jnp.where(p == 0, jnp.inf, jnp.nan)), labels)

    @classmethod
    def uniform(cls, labels: Sequence[Hashable] | int) -> "Belief":
        """All hypotheses equally plausible; `labels`, or how many.

        >>> print(Belief.uniform(["h", "t"]).probabilities())
        [0.5 0.5]
        """
        number = labels if isinstance(labels, int) else len(labels)
        if number < 1:
            raise ValueError("A belief has at least one hypothesis; got none.")
        return cls(jnp.full(number, np.log(number)), None if isinstance(labels, int) else labels)

    @classmethod
    def _of(cls, arrays: "tuple[Any, _Constant]", labels: tuple[Hashable, ...] | None) -> "Belief":
        made = object.__new__(Belief)
        (made.excess, made._constant), made.labels = arrays, labels
        return made

    @classmethod
    def _beyond(cls, surprise: Any, constant: Any) -> "Belief":
        """Of surprises in nats beyond a constant of each of the batch in float64, which keeps its digits in float32."""
        made = cls(surprise)
        high = np.asarray(constant, made.excess.dtype)
        low = (np.asarray(constant, np.float64) - high).astype(high.dtype)
        return cls._of((made.excess, _sum_of(made._constant, (jnp.asarray(high), jnp.asarray(low)))), None)

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        key = jax.tree_util.GetAttrKey
        high, low = self._constant
        return ((key("excess"), self.excess), (key("constant"), high), (key("constant_low"), low)), self.labels

    @classmethod
    def tree_unflatten(cls, labels: Any, children: Any) -> "Belief":
        excess, high, low = children
        return cls._of((excess, (high, low)), labels)

    # What it says.

    @property
    def number(self) -> int:
        """How many hypotheses there are."""
        return int(self.excess.shape[-1])

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return tuple(self.excess.shape[:-1])

    @property
    def constant(self) -> Any:
        """Surprise in nats that all hypotheses share, shape batch; in float64 where it is known."""
        high, low = self._constant
        return high + low if is_traced(self._constant) else np.float64(np.asarray(high)) + np.float64(np.asarray(low))

    @property
    def contradiction(self) -> Any:
        """Whether every hypothesis is impossible, shape batch."""
        return jnp.all(jnp.isposinf(self.excess), axis=-1)

    @property
    def log_normalizer(self) -> Any:
        """log Σ exp(−sᵢ) in nats, shape batch: of a prior of probabilities and likelihoods added to it, the log-probability of the
        evidence, however long ago it was added; −inf where everything is impossible.

        >>> coin = Belief.from_probabilities([0.5, 0.5], labels=["fair", "two-headed"])
        >>> heads = Belief.from_probabilities([0.5, 1.0], normalised=False)
        >>> round(float((coin + heads + heads).log_normalizer), 4), round(float(np.log(0.5 * 0.25 + 0.5)), 4)
        (-0.47, -0.47)
        """
        total = logsumexp(-self.excess, axis=-1)
        return total - self.constant if is_traced(self.excess) else np.float64(np.asarray(total)) - self.constant

    def probabilities(self) -> Array:
        """Probabilities of the hypotheses, which add to 1; zeros where everything is impossible. Shape batch + (n,)."""
        return _probabilities(self.excess)

    def surprise(self, unit: Unit = "nat") -> Array:
        """Surprise of each hypothesis, log 1/p, in `unit`: +inf for an impossible one. Shape batch + (n,)."""
        return from_nats(_normalised(self.excess), unit)

    def entropy(self, unit: Unit = "nat") -> Array:
        """Expected surprise Σ p log 1/p, in `unit`, shape batch."""
        s = _normalised(self.excess)
        p = _probabilities(self.excess)
        return from_nats(jnp.sum(jnp.where(p > 0, p * jnp.where(p > 0, s, 0.0), 0.0), axis=-1), unit)

    def kl(self, other: "Belief", unit: Unit = "nat") -> Array:
        """Σ p log(p/q) ≥ 0 from this to another, in `unit`: what there is to gain by knowing this one; shape batch.

        +inf where another excludes what this one does not. As a sum of p(t − 1 − log t) with t = q/p, none of which is negative.

        >>> b = Belief.from_probabilities([0.5, 0.5])
        >>> print(Belief.from_probabilities([0.25, 0.75]).kl(b, "bit").round(4))
        0.1887
        """
        self._fits(other)
        return from_nats(_divergence(self._beside(other)[0], other._beside(self)[0]), unit)

    def expectation(self, values: ArrayLike) -> Array:
        """Σ pᵢ vᵢ of a value for each hypothesis, on the last axis; those of probability 0 count nothing, whatever their value."""
        p, v = self.probabilities(), jnp.asarray(values)
        return jnp.sum(jnp.where(p > 0, p * jnp.where(p > 0, v, 0.0), 0.0), axis=-1)

    def most_plausible(self, k: int = 1) -> Ranking:
        """The k most plausible hypotheses, and their probabilities.

        >>> Belief.from_probabilities([0.2, 0.7, 0.1], labels=["x", "y", "z"]).most_plausible(2).labels
        ('y', 'x')
        """
        if not 1 <= k <= self.number:
            raise ValueError(f"There are {self.number} hypotheses to rank; got k={k}.")
        _, indices = jax.lax.top_k(-self.excess, k)
        named: Any = indices
        if self.labels is not None and indices.ndim == 1 and not is_traced(indices):
            named = tuple(self.labels[int(i)] for i in indices)
        return Ranking(named, jnp.take_along_axis(self.probabilities(), indices, axis=-1), indices)

    def sample(self, key: Array, shape: tuple[int, ...] = ()) -> Array:
        """Indices of hypotheses drawn by their probabilities, shape `shape` + batch; −1 where everything is impossible."""
        drawn = categorical(key, -self.excess, shape)
        return jnp.where(self.contradiction, -1, drawn)

    def __getitem__(self, label: Hashable) -> Array:
        """The probability of the hypothesis of that label, or index where there are no labels; shape batch."""
        return self.probabilities()[..., self._index(label)]

    # Arithmetic.

    def __add__(self, other: Any) -> "Belief":
        other = self._as_belief(other)
        if other is NotImplemented:
            return NotImplemented
        labels = self._fits(other)
        return Belief._of(_added(*self._beside(other), *other._beside(self)), labels)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Belief":
        other = self._as_belief(other)
        if other is NotImplemented:
            return NotImplemented
        labels = self._fits(other)
        if not is_traced((self.excess, other.excess)):
            gone = np.isposinf(np.asarray(other.excess))
            if np.any(gone):
                index = int(np.argwhere(gone)[0][-1])
                what = f"hypothesis {index}" if labels is None else f"{labels[index]!r}"
                raise ValueError(
                    f"What evidence has made impossible, taking it away does not make possible again; it excludes {what}. Add"
                    " up the other contributions instead: Belief.update keeps them by name."
                )
        return Belief._of(_subtracted(*self._beside(other), *other._beside(self)), labels)

    def __mul__(self, t: Any) -> "Belief":
        """Each surprise times t: 0 < t < 1 forgets or tempers, t = 0 leaves what is impossible; one t, or one for each belief."""
        if isinstance(t, Belief):
            return NotImplemented
        if not is_traced(t) and not np.all(np.isfinite(np.asarray(t, np.float64))):
            raise ValueError(f"A belief is multiplied by finite numbers; got {t}.")
        if (
            not is_traced((t, self.excess))
            and np.any(np.asarray(t) < 0)
            and np.any(np.isposinf(np.asarray(self.excess)))
        ):
            raise ValueError(
                "An impossible hypothesis does not become certain: beliefs that have one are multiplied by t ≥ 0."
            )
        t = jnp.asarray(t, self.excess.dtype)
        ranks = max(t.ndim, self.excess.ndim - 1)
        excess, constant = self._of_rank(ranks)
        return Belief._of(_scaled(excess, constant, t.reshape((1,) * (ranks - t.ndim) + t.shape)), self.labels)

    __rmul__ = __mul__

    def absorb(self, surprise: ArrayLike) -> "Belief":
        """Add evidence in place: surprise in nats, of the shape of `excess`. This belief is used up; go on with that returned.

        The fastest update, for very many hypotheses: one pass that reads both and writes one, in the memory of this belief.
        Nothing is normalised, so that float32 loses digits by and by; `recentred()` costs a pass more, every hundred updates or so.

        >>> belief = Belief.uniform(4)
        >>> belief = belief.absorb(jnp.array([0.0, 1.0, 2.0, jnp.inf]))
        >>> print(belief.probabilities().round(3))
        [0.665 0.245 0.09  0.   ]
        """
        e = jnp.asarray(surprise, self.excess.dtype)
        if e.shape != self.excess.shape:
            raise ValueError(f"Evidence has a surprise for each hypothesis, shape {self.excess.shape}; got {e.shape}.")
        return Belief._of((_absorbed(self.excess, e), self._constant), self.labels)

    def recentred(self) -> "Belief":
        """The same belief with the least excess at 0."""
        return Belief._of(_recentred(self.excess, self._constant), self.labels)

    def update(self, name: str, evidence: Any, weight: float = 1.0) -> "Ledger":
        """Add evidence under a name, so that it can be shown, weighed anew, and taken away (`surprax.beliefs.ledger`).

        >>> shape = Belief.uniform(["boat", "rock", "whale"])
        >>> fog = shape.update("it moves", [0.2, 3.0, 0.2]).update("a horn sounds", [0.1, 2.0, 2.0])
        >>> print(f"{fog['boat']:.2f}, {fog.without('a horn sounds')['boat']:.2f}")
        0.86, 0.49
        """
        from surprax.beliefs.ledger import Ledger

        return Ledger(self).update(name, evidence, weight)

    # Housekeeping.

    def _as_belief(self, other: Any) -> Any:
        if isinstance(other, Belief):
            return other
        if isinstance(other, (int, float)) or (hasattr(other, "ndim") and other.ndim == 0):
            raise TypeError(
                "A number added to every surprise says nothing about hypotheses; add a Belief, or an array of surprises."
            )
        if hasattr(other, "shape") or isinstance(other, (list, tuple)):
            return Belief(other)
        return NotImplemented

    def _beside(self, other: "Belief") -> "tuple[Any, _Constant]":
        """Its arrays, of no fewer batch axes than another has."""
        return self._of_rank(max(self.excess.ndim, other.excess.ndim) - 1)

    def _of_rank(self, batch_ranks: int) -> "tuple[Any, _Constant]":
        ones = (1,) * (batch_ranks + 1 - self.excess.ndim)
        high, low = (c.reshape(ones + c.shape) for c in self._constant)
        return self.excess.reshape(ones + self.excess.shape), (high, low)

    def _fits(self, other: "Belief") -> tuple[Hashable, ...] | None:
        if self.number != other.number:
            raise ValueError(f"Beliefs are about the same hypotheses; got {self.number} and {other.number} of them.")
        if self.labels is not None and other.labels is not None and self.labels != other.labels:
            place, mine, theirs = next((i, a, b) for i, (a, b) in enumerate(zip(self.labels, other.labels)) if a != b)
            raise ValueError(
                f"Beliefs are about the same hypotheses in one order; number {place} is {mine!r} here and {theirs!r} there."
            )
        return self.labels if self.labels is not None else other.labels

    def _index(self, label: Hashable) -> int:
        if self.labels is None:
            if isinstance(label, (int, np.integer)) and -self.number <= label < self.number:
                return int(label)
            raise KeyError(f"Hypotheses without labels are named 0 to {self.number - 1}; got {label!r}.")
        if label not in self.labels:
            raise KeyError(
                f"Hypotheses are {', '.join(map(repr, self.labels[:8]))}{' …' * (self.number > 8)}; got {label!r}."
            )
        return self.labels.index(label)

    def __repr__(self) -> str:
        if is_traced(self.excess):
            return f"Belief(traced, {self.number} hypotheses)"
        of = (
            f"{self.number:,} hypotheses"
            if not self.batch_shape
            else f"{self.batch_shape} × {self.number:,} hypotheses"
        )
        if self.batch_shape:
            return f"Belief({of})"
        if bool(self.contradiction):
            return f"Belief({of}, all impossible: the evidence contradicts itself or the prior)"
        best = self.most_plausible(min(3, self.number))
        names = best.labels if self.labels is not None else [int(i) for i in best.indices]
        shown = ", ".join(f"{name}: {p:.3g}" for name, p in zip(names, np.asarray(best.probabilities, np.float64)))
        return f"Belief({of}; {shown}{', …' if self.number > 3 else ''})"


def _checked_labels(labels: Sequence[Hashable] | None, number: int) -> tuple[Hashable, ...] | None:
    if labels is None:
        return None
    named = tuple(label.item() if isinstance(label, np.generic) else label for label in labels)
    if len(named) != number:
        raise ValueError(f"There is one label for each hypothesis; got {len(named)} labels for {number} hypotheses.")
    if len(set(named)) != number:
        twice = next(label for label in named if named.count(label) > 1)
        raise ValueError(f"Labels tell hypotheses apart; {twice!r} is there twice.")
    return named


# Arithmetic on arrays. A constant is the sum of two numbers, the second one what the first has no digits for.

type _Constant = tuple[Any, Any]


def _sum_of(a: _Constant, b: _Constant) -> _Constant:
    """a + b, by Knuth's exact sum of the leading parts."""
    high = a[0] + b[0]
    part = high - a[0]
    error = (a[0] - (high - part)) + (b[0] - part)
    low = error + (a[1] + b[1])
    total = high + low
    return total, low - (total - high)


def _centred(excess: Any, constant: _Constant) -> tuple[Any, _Constant]:
    least = jnp.min(excess, axis=-1)
    least = jnp.where(jnp.isfinite(least), least, 0.0)
    return excess - least[..., None], _sum_of(constant, (least, jnp.zeros_like(least)))


_recentred = jax.jit(_centred)


@jax.jit
def _added(excess: Any, constant: _Constant, other: Any, others: _Constant) -> tuple[Any, _Constant]:
    # Impossible is absorbing, also where the other would be certain beyond measure.
    total = jnp.where(jnp.isposinf(excess) | jnp.isposinf(other), jnp.inf, excess + other)
    return _centred(total, _broadcast(_sum_of(constant, others), total))


@jax.jit
def _subtracted(excess: Any, constant: _Constant, other: Any, others: _Constant) -> tuple[Any, _Constant]:
    # Taking away what excludes is an error where it is known, and NaN where it is not.
    excludes = jnp.isposinf(other)
    left = jnp.where(jnp.isposinf(excess), jnp.inf, excess - jnp.where(excludes, 0.0, other))
    left = jnp.where(excludes, jnp.nan, left)
    return _centred(left, _broadcast(_sum_of(constant, (-others[0], -others[1])), left))


@jax.jit
def _scaled(excess: Any, constant: _Constant, t: Any) -> tuple[Any, _Constant]:
    scaled = jnp.where(jnp.isposinf(excess), jnp.inf, t[..., None] * jnp.where(jnp.isposinf(excess), 0.0, excess))
    constant = (t * constant[0], t * constant[1])
    return _centred(scaled, _broadcast(constant, scaled))


def _broadcast(constant: _Constant, like: Any) -> _Constant:
    return jnp.broadcast_to(constant[0], like.shape[:-1]), jnp.broadcast_to(constant[1], like.shape[:-1])


@functools.partial(jax.jit, donate_argnums=0)
def _absorbed(excess: Any, other: Any) -> Any:
    return excess + other


@jax.jit
def _normalised(excess: Any) -> Any:
    """log 1/p; +inf everywhere where everything is impossible."""
    total = logsumexp(-excess, axis=-1)[..., None]
    return jnp.where(
        jnp.isposinf(excess),
        jnp.inf,
        jnp.where(jnp.isposinf(excess), 0.0, excess) + jnp.where(total == -jnp.inf, 0.0, total),
    )


@jax.jit
def _probabilities(excess: Any) -> Any:
    s = _normalised(excess)
    return jnp.where(jnp.isposinf(s), 0.0, jnp.exp(-jnp.where(jnp.isposinf(s), 0.0, s)))


@jax.jit
def _divergence(excess: Any, other: Any) -> Any:
    p, s, t = _probabilities(excess), _normalised(excess), _normalised(other)
    some = p > 0
    gap = jnp.where(some & jnp.isfinite(t), t, 0.0) - jnp.where(some, s, 0.0)  # log p/q
    # p (q/p − 1 − log q/p), and what q has where p has nothing.
    terms = jnp.where(some, p * expm1_minus(-gap), _probabilities(other))
    total = jnp.sum(terms, axis=-1)
    return jnp.where(jnp.any(some & jnp.isposinf(t), axis=-1), jnp.inf, total)
