"""Beliefs over finitely many hypotheses: vectors of surprise, up to a constant that is kept apart.

    sᵢ = log 1/p(hypothesis i),      posterior = prior + likelihood,      p(hypothesis i) = exp(−sᵢ) / Σ exp(−sⱼ)

Bayes' rule is addition, taking evidence back is subtraction, tempering and forgetting are multiplication by a number. Only
differences of surprise matter to what is believed; the constant is what all of it together says of the evidence, its
log-probability.

An impossible hypothesis (s = +∞) stays impossible whatever is added, and no subtraction brings it back. Where everything is
impossible, evidence and prior contradict each other: a belief says so (`contradiction`), has no probabilities but zeros, and what
is a sum over them (entropy, expectation, divergence) is NaN.

Known numbers are read in their own precision, and in float64 where they are lists: what all hypotheses share is taken away first,
and only the rest is rounded to JAX's precision, in which a surprise beyond its range (3e38 in float32) is impossible. JAX arrays
stay in the precision they have, of float32 at least.
"""

import operator
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.beliefs import finite_arrays
from surprax.beliefs.drawing import categorical
from surprax.beliefs.geometry import Geometry
from surprax.numerics.precision import is_traced
from surprax.units import Unit, from_nats

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
        ValueError: for NaN or −inf, with the index (where they are traced, all that comes of them is NaN); for labels that are not
            as many as hypotheses, or not different.

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
    _constant: finite_arrays.Constant  # nats

    __array_ufunc__ = None  # NumPy arrays on the left leave operators to us

    def __init__(self, surprise: ArrayLike, labels: Sequence[Hashable] | None = None, *, unit: Unit = "nat") -> None:
        self.excess, self._constant = finite_arrays.read(surprise, unit)
        self.labels = _checked_labels(labels, self.number)

    # Other ways to make one.

    @classmethod
    def from_probabilities(
        cls, p: ArrayLike, labels: Sequence[Hashable] | None = None, *, normalised: bool = True
    ) -> "Belief":
        """From probabilities, or from a likelihood (`normalised=False`), on the last axis.

        Raises:
            ValueError: for an entry that is negative, infinite or NaN, with its index; where probabilities do not add to 1 within
                1e-4, or four roundings of their precision, if that is more. Where they are traced, NaN.

        >>> print(Belief.from_probabilities([0.5, 0.25, 0.25]).surprise("bit"))
        [1. 2. 2.]
        """
        made = Belief._of(finite_arrays.of_probabilities(p, normalised), None)
        made.labels = _checked_labels(labels, made.number)
        return made

    @classmethod
    def uniform(cls, labels: Iterable[Hashable] | int) -> "Belief":
        """All hypotheses equally plausible; `labels`, or how many.

        >>> print(Belief.uniform(["h", "t"]).probabilities())
        [0.5 0.5]
        """
        named = None if isinstance(labels, (int, np.integer)) else tuple(labels)
        number = len(named) if named is not None else int(labels)  # type: ignore[arg-type]
        if number < 1:
            raise ValueError(f"A belief has at least one hypothesis; got {'none' if number == 0 else number}.")
        return Belief._beyond(jnp.zeros(number), np.log(number), named)

    @classmethod
    def _of(cls, arrays: tuple[Any, finite_arrays.Constant], labels: tuple[Hashable, ...] | None) -> "Belief":
        made = object.__new__(Belief)
        (made.excess, made._constant), made.labels = arrays, labels
        return made

    @classmethod
    def _beyond(cls, surprise: Any, constant: Any, labels: Sequence[Hashable] | None = None) -> "Belief":
        """Of surprises in nats beyond a known constant of each of the batch, of which float32 keeps the digits of float64."""
        made = Belief(surprise, labels)
        made._constant = finite_arrays.sum_of(made._constant, finite_arrays.split(constant, made.excess.dtype))
        return made

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
        least, rest = finite_arrays.log_total(self.excess)
        if not is_traced(self.excess):
            least, rest = np.asarray(least, np.float64), np.asarray(rest, np.float64)
        return least - self.constant + rest

    def probabilities(self) -> Array:
        """Probabilities of the hypotheses, which add to 1; zeros where everything is impossible. Shape batch + (n,)."""
        return finite_arrays.probabilities(self.excess)

    def surprise(self, unit: Unit = "nat") -> Array:
        """Surprise of each hypothesis, log 1/p, in `unit`: +inf for an impossible one. Shape batch + (n,)."""
        return from_nats(finite_arrays.normalised(self.excess), unit)

    def entropy(self, unit: Unit = "nat") -> Array:
        """Expected surprise Σ p log 1/p, in `unit`, shape batch; NaN where everything is impossible."""
        return from_nats(finite_arrays.entropy(self.excess), unit)

    def kl(self, other: Any, unit: Unit = "nat") -> Array:
        """Σ p log(p/q) ≥ 0 from this to another, in `unit`: what there is to gain by knowing this one; shape batch.

        +inf where another excludes what this one does not, however improbable; NaN where one of them contradicts itself. As a sum
        of p(t − 1 − log t) with t = q/p, none of which is negative. `other`: a belief, or an array of surprises.

        >>> b = Belief.from_probabilities([0.5, 0.5])
        >>> print(Belief.from_probabilities([0.25, 0.75]).kl(b, "bit").round(4))
        0.1887
        """
        p, q = self._together([self, other])
        return from_nats(finite_arrays.divergence(p.excess, q.excess), unit)

    def expectation(self, values: ArrayLike) -> Array:
        """Σ pᵢ vᵢ of a value for each hypothesis, on the last axis; those of probability 0 count nothing, whatever their value.

        NaN where everything is impossible."""
        p, v = self.probabilities(), jnp.asarray(values)
        total = jnp.sum(jnp.where(p > 0, p * jnp.where(p > 0, v, 0.0), 0.0), axis=-1)
        return jnp.where(self.contradiction, jnp.nan, total)

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

    def sample(self, key: Array, shape: int | Sequence[int] = ()) -> Array:
        """Indices of hypotheses drawn by their probabilities, shape `shape` + batch; −1 where everything is impossible."""
        sizes = (shape,) if np.ndim(shape) == 0 else tuple(shape)  # type: ignore[arg-type]
        drawn = categorical(key, -self.excess, tuple(operator.index(size) for size in sizes))  # type: ignore[arg-type]
        return jnp.where(self.contradiction, -1, drawn)

    def __getitem__(self, label: Hashable) -> Array:
        """The probability of the hypothesis of that label, or index where there are no labels; shape batch."""
        return self.probabilities()[..., self._index(label)]

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "A belief is no sequence; .labels are its hypotheses, and .probabilities() their probabilities."
        )

    # Arithmetic.

    def __add__(self, other: Any) -> "Belief":
        if (other := self._as_belief(other)) is NotImplemented:
            return NotImplemented
        a, b = self._together([self, other])
        return Belief._of(finite_arrays.added(a.excess, a._constant, b.excess, b._constant), a.labels)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Belief":
        if (other := self._as_belief(other)) is NotImplemented:
            return NotImplemented
        a, b = self._together([self, other])
        if not is_traced((a.excess, b.excess)) and (excluded := b._first_impossible()) is not None:
            raise ValueError(
                f"What evidence has made impossible, taking it away does not make possible again; it excludes {excluded}. Add"
                " up the other contributions instead: Belief.update keeps them by name."
            )
        return Belief._of(finite_arrays.subtracted(a.excess, a._constant, b.excess, b._constant), a.labels)

    def __rsub__(self, other: Any) -> "Belief":
        if (other := self._as_belief(other)) is NotImplemented:
            return NotImplemented
        return other - self

    def __mul__(self, t: Any) -> "Belief":
        """Each surprise times t: 0 < t < 1 forgets or tempers, t = 0 leaves what is impossible; one t, or one for each belief."""
        if isinstance(t, (Belief, str)):
            return NotImplemented
        dtype = self.excess.dtype
        if not is_traced(t):
            known = np.asarray(t, np.float64)
            if not np.all(np.isfinite(known)):
                raise ValueError(f"A belief is multiplied by finite numbers; got {t}.")
            if np.any(np.abs(known) > jnp.finfo(dtype).max):
                raise ValueError(
                    f"A belief in {dtype} is multiplied by numbers up to {jnp.finfo(dtype).max:.3g}; got {t}. For those beyond,"
                    " have JAX compute in float64."
                )
            if np.any(known < 0) and not is_traced(self.excess) and self._first_impossible() is not None:
                raise ValueError(
                    "An impossible hypothesis does not become certain: beliefs that have one are multiplied by t ≥ 0."
                )
        t = jnp.asarray(t, dtype)
        _batch_shape([t.shape, self.batch_shape])
        ranks = max(t.ndim, self.excess.ndim - 1)
        excess, constant = self._of_rank(ranks)
        return Belief._of(
            finite_arrays.scaled(excess, constant, t.reshape((1,) * (ranks - t.ndim) + t.shape)), self.labels
        )

    __rmul__ = __mul__

    def absorb(self, surprise: ArrayLike) -> "Belief":
        """Add evidence in place: surprise in nats, of the shape of `excess`. This belief is used up; go on with that returned.

        The fastest update, for very many hypotheses: one pass that reads both and writes one, in the memory of this belief, and of
        whatever has it for its own: the grid of which this is the `belief`, a ledger that began with it.

        The evidence is rounded to the precision of the belief as it is, so have its least near 0. Nothing is normalised, so that
        float32 loses digits by and by; `recentred()` costs a pass more, every hundred updates or so. Nothing is checked: NaN and
        −inf make all that is asked of the belief NaN.

        >>> belief = Belief.uniform(4)
        >>> belief = belief.absorb(jnp.array([0.0, 1.0, 2.0, jnp.inf]))
        >>> print(belief.probabilities().round(3))
        [0.665 0.245 0.09  0.   ]
        """
        e = jnp.asarray(surprise, self.excess.dtype)
        if e.shape != self.excess.shape:
            raise ValueError(f"Evidence has a surprise for each hypothesis, shape {self.excess.shape}; got {e.shape}.")
        return Belief._of((finite_arrays.absorbed(self.excess, e), self._constant), self.labels)

    def recentred(self) -> "Belief":
        """The same belief with the least excess at 0."""
        return Belief._of(finite_arrays.recentred(self.excess, self._constant), self.labels)

    def update(self, name: str, evidence: Any, weight: Any = 1.0) -> "Ledger":
        """Add evidence under a name, so that it can be shown, weighed anew, and taken away (`surprax.beliefs.ledger`).

        A weight ≥ 0 multiplies it; one number, or one for each belief of a batch.

        >>> shape = Belief.uniform(["boat", "rock", "whale"])
        >>> fog = shape.update("it moves", [0.2, 3.0, 0.2]).update("a horn sounds", [0.1, 2.0, 2.0])
        >>> print(f"{fog['boat']:.2f}, {fog.without('a horn sounds')['boat']:.2f}")
        0.86, 0.49
        """
        from surprax.beliefs.ledger import Ledger

        return Ledger(self).update(name, evidence, weight)

    # Housekeeping.

    @staticmethod
    def _plain(surprise: Any, labels: Sequence[Hashable] | None = None) -> "Belief":
        """A belief that is no ledger, whatever class asks for it."""
        return Belief(surprise, labels)

    @staticmethod
    def _as_belief(other: Any) -> Any:
        if isinstance(other, Belief):
            return other
        if isinstance(other, (int, float)) or (hasattr(other, "ndim") and other.ndim == 0):
            raise TypeError(
                "One number for all of them says nothing about hypotheses; give a Belief, or an array of surprises."
            )
        if hasattr(other, "shape") or isinstance(other, (list, tuple)):
            return Belief(other)
        return NotImplemented

    @staticmethod
    def _together(beliefs: Sequence[Any]) -> "list[Belief]":
        """Beliefs, or arrays of surprises, about the same hypotheses, with the labels of any and equally many batch axes."""
        several = [Belief._as_belief(one) for one in beliefs]
        if NotImplemented in several:
            odd = beliefs[several.index(NotImplemented)]
            raise TypeError(f"This is asked of a Belief, or of an array of surprises; got {type(odd).__name__}.")
        first = next((one for one in several if one.labels is not None), several[0])
        for one in several:
            first._fits(one)
        ranks = len(_batch_shape([one.batch_shape for one in several]))
        return [Belief._of(one._of_rank(ranks), first.labels) for one in several]

    def _of_rank(self, batch_ranks: int) -> tuple[Any, finite_arrays.Constant]:
        """Its arrays, with no fewer batch axes."""
        ones = (1,) * (batch_ranks + 1 - self.excess.ndim)
        high, low = (c.reshape(ones + c.shape) for c in self._constant)
        return self.excess.reshape(ones + self.excess.shape), (high, low)

    def _fits(self, other: "Belief") -> None:
        if self.number != other.number:
            raise ValueError(f"Beliefs are about the same hypotheses; got {self.number} and {other.number} of them.")
        if self.labels is not None and other.labels is not None and self.labels != other.labels:
            place, mine, theirs = next((i, a, b) for i, (a, b) in enumerate(zip(self.labels, other.labels)) if a != b)
            raise ValueError(
                f"Beliefs are about the same hypotheses in one order; number {place} is {mine!r} here and {theirs!r} there."
            )

    def _first_impossible(self) -> str | None:
        """A hypothesis that is impossible, in words; None where there is none."""
        gone = np.isposinf(np.asarray(self.excess))
        if not np.any(gone):
            return None
        index = int(np.argmax(gone) % self.number)
        return f"hypothesis {index}" if self.labels is None else repr(self.labels[index])

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


def _batch_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"Batches of beliefs broadcast; got the shapes {' and '.join(map(str, dict.fromkeys(shapes)))}. Add axes of length 1"
            " where they are to meet."
        ) from None


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
