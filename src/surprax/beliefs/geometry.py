"""The geometry of beliefs: a vector space with an inner product, in which Bayes' rule is addition (Aitchison 1982).

A belief is a vector of surprise up to a constant. Taking its mean away makes it one vector, its centred log-ratio

    clr(b)ᵢ = log pᵢ − mean log p = mean s − sᵢ,

and beliefs have the inner product, lengths, angles and distances of these. The uniform belief is 0; a likelihood's length is how
much it says, whatever the prior; the distance of two beliefs is the length of the evidence between them, and no prior added to both
changes it. It grows without bound as a hypothesis becomes impossible.

Fisher and Rao's distance is another: it is that of probabilities, as seen by samples. It is bounded by π, hardly sees what is
improbable, and changes when both beliefs learn the same. Near the uniform belief, Fisher–Rao is Aitchison's divided by √n.
(Egozcue et al. 2003, "Isometric logratio transformations for compositional data analysis".)
"""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.beliefs.finite_arrays import floats
from surprax.numerics.precision import is_traced

if TYPE_CHECKING:
    from surprax.beliefs.finite import Belief

__all__ = ["Axes", "Eigen", "Geometry", "eigen"]


class Axes(NamedTuple):
    """Principal axes of a cloud of beliefs.

    Attributes:
        centre: their mean.
        axes: unit vectors as centred log-ratios, shape (k, n), those of the greatest variance first.
        variances: along each axis, shape (k,).
        scores: coordinates of the beliefs, shape (m, k).
    """

    centre: Any
    axes: Array
    variances: Array
    scores: Array


class Eigen(NamedTuple):
    """Of a linear map of beliefs.

    Attributes:
        values: eigenvalues, the greatest in size first, shape (n − 1,).
        vectors: as centred log-ratios in the columns of an array of shape (n, n − 1).
    """

    values: np.ndarray
    vectors: np.ndarray


class Geometry:
    """What a `Belief` has as a vector. Every hypothesis has to be possible: what is excluded lies infinitely far away.

    Another belief may be given as an array of surprises.

    Raises:
        ValueError: where a hypothesis is impossible, by its label (lengths and distances of traced beliefs are then +inf); where
            beliefs are about different hypotheses, or their batches do not broadcast.
    """

    excess: Array
    labels: tuple[Hashable, ...] | None

    if TYPE_CHECKING:  # of `Belief`

        def surprise(self) -> Array: ...

        def _first_impossible(self) -> str | None: ...

        @staticmethod
        def _plain(surprise: Any, labels: Sequence[Hashable] | None = None) -> Belief: ...

        @staticmethod
        def _together(beliefs: Sequence[Any]) -> list[Belief]: ...

    def clr(self) -> Array:
        """Centred log-ratios, mean s − sᵢ in nats, which add to 0; shape batch + (n,).

        >>> from surprax.beliefs import Belief
        >>> print(Belief.from_probabilities([0.1, 0.4, 0.4], normalised=False).clr().round(3))
        [-0.924  0.462  0.462]
        """
        self._needs_all_possible()
        return _clr(self.excess)

    @classmethod
    def from_clr(cls, clr: ArrayLike, labels: Sequence[Hashable] | None = None) -> "Belief":
        """The belief of these log-ratios, or of any log-probabilities up to a constant."""
        return cls._plain(-floats(clr, "Log-ratios"), labels)

    def ilr(self) -> Array:
        """Isometric log-ratios: n − 1 orthonormal coordinates, the k-th of them √(k/(k+1)) (mean of clr₁…clrₖ − clrₖ₊₁); shape
        batch + (n − 1,)."""
        clr: Any = self.clr()
        k = np.arange(1, clr.shape[-1])
        shares, scales = (_like(clr, v) for v in (1.0 / k, np.sqrt(k / (k + 1.0))))
        return scales * (shares * jnp.cumsum(clr[..., :-1], axis=-1) - clr[..., 1:])

    @classmethod
    def from_ilr(cls, ilr: Any, labels: Sequence[Hashable] | None = None) -> "Belief":
        """The belief of these coordinates: clrᵢ = Σ_{k≥i} ilrₖ/√(k(k+1)) − √((i−1)/i) ilrᵢ₋₁."""
        ilr = floats(ilr, "Coordinates")
        if ilr.ndim == 0:
            raise ValueError("Coordinates of a belief lie along an axis; got a single number.")
        xp: Any = jnp if isinstance(ilr, Array) else np
        k = np.arange(1, ilr.shape[-1] + 1)
        ones, scales = (_like(ilr, v) for v in (1.0 / np.sqrt(k * (k + 1.0)), np.sqrt(k / (k + 1.0))))
        from_the_end = xp.flip(xp.cumsum(xp.flip(ones * ilr, -1), axis=-1), -1)
        none = xp.zeros_like(ilr, shape=(*ilr.shape[:-1], 1))
        return cls.from_clr(
            xp.concatenate([from_the_end, none], axis=-1) - xp.concatenate([none, scales * ilr], axis=-1), labels
        )

    def inner(self, other: Any) -> Array:
        """Σ clrᵢ clr′ᵢ in nats², shape batch: 0 for evidence that speaks of different things."""
        a, b = self._together([self, other])
        return jnp.sum(a.clr() * b.clr(), axis=-1)

    def norm(self) -> Array:
        """Length √⟨b, b⟩ in nats, shape batch; 0 for the uniform belief.

        >>> from surprax.beliefs import Belief
        >>> print(Belief.from_probabilities([0.1, 0.4, 0.4], normalised=False).norm().round(3))
        1.132
        """
        self._needs_all_possible()
        return _length_of(self.excess, jnp.isposinf(self.excess))

    def distance(self, other: Any) -> Array:
        """Length of the difference, in nats, shape batch: unchanged by evidence that both take in."""
        a, b = self._together([self, other])
        for one in (a, b):
            one._needs_all_possible()
        return _length_of(_finite(a.excess) - _finite(b.excess), jnp.isposinf(a.excess) | jnp.isposinf(b.excess))

    def angle(self, other: Any) -> Array:
        """Between two beliefs, in radians from 0 to π, shape batch: 2 arctan(‖u − v‖/‖u + v‖) of their unit vectors; NaN for a
        uniform one.

        >>> from surprax.beliefs import Belief
        >>> b = Belief([0.0, 1.0, 2.0])
        >>> print((b.angle(b * 3.0) / np.pi).round(3), (b.angle(Belief([2.0, 1.0, 0.0])) / np.pi).round(3))
        0.0 1.0
        """
        u, v = (_unit(b.clr()) for b in self._together([self, other]))
        return 2.0 * jnp.arctan2(_length(u - v), _length(u + v))

    def project(self, *onto: Any) -> "Belief":
        """The nearest belief among the sums of multiples of others: what they can say of this one."""
        if not onto:
            raise ValueError("A belief is projected onto at least one other; got none.")
        own, *others = self._together([self, *onto])
        target, *directions = jnp.broadcast_arrays(own.clr(), *(other.clr() for other in others))
        span = jnp.stack(directions, axis=-1)
        if span.ndim == 2:
            weights = jnp.linalg.lstsq(span, target)[0]
        else:
            weights = jnp.einsum("...ij,...j->...i", jnp.linalg.pinv(span), target)
        return self.from_clr(jnp.einsum("...ij,...j->...i", span, weights), own.labels)

    def fisher_rao(self, other: Any) -> Array:
        """Fisher and Rao's distance 2 arccos Σ √(pᵢ qᵢ), from 0 to π, shape batch; impossible hypotheses are welcome, and where all
        are impossible it is NaN.

        From the chord, 4 arcsin(½ √Σ(√p − √q)²), which keeps its digits for beliefs that are nearly equal.

        >>> from surprax.beliefs import Belief
        >>> print(Belief.from_probabilities([1.0, 0.0]).fisher_rao(Belief.from_probabilities([0.0, 1.0])).round(4))
        3.1416
        """
        a, b = self._together([self, other])
        return _fisher_rao(a.surprise(), b.surprise())

    @classmethod
    def pool(cls, beliefs: Sequence[Any] | Any, weights: ArrayLike | None = None) -> "Belief":
        """The mean of beliefs, by weights of any sum > 0: a geometric mean of probabilities, called logarithmic pooling.

        What one of positive weight excludes is excluded. `beliefs`: several, or one with batch axes, of which the first is pooled.
        Constants are left out: a pool is an opinion, and has no evidence to tell of.

        >>> from surprax.beliefs import Belief
        >>> a, b = Belief.from_probabilities([0.9, 0.1]), Belief.from_probabilities([0.1, 0.9])
        >>> print(Belief.pool([a, b]).probabilities(), Belief.pool([a, b], [3.0, 1.0])[0].round(2))
        [0.5 0.5] 0.75
        """
        if isinstance(beliefs, Sequence):
            if not beliefs:
                raise ValueError("There is nothing to pool: pass one belief at least.")
            several = cls._together(beliefs)
            excess, labels = jnp.stack(jnp.broadcast_arrays(*(b.excess for b in several))), several[0].labels
        elif not isinstance(beliefs, Geometry):
            raise TypeError(f"Beliefs are pooled, in a list or in a batch; got {type(beliefs).__name__}.")
        elif beliefs.excess.ndim < 2:
            raise ValueError("The mean is of several beliefs, in a list or in a batch; got a single one.")
        else:
            excess, labels = beliefs.excess, beliefs.labels
        w = jnp.ones(len(excess), excess.dtype) if weights is None else jnp.asarray(weights, excess.dtype)
        if w.shape != excess.shape[:1]:
            raise ValueError(f"There is one weight for each of {len(excess)} beliefs; got shape {w.shape}.")
        total = jnp.sum(w)
        proper = jnp.all(w >= 0) & (total > 0) & (total < jnp.inf)
        if not is_traced(w) and not bool(proper):
            raise ValueError(f"Weights are finite and at least 0, and not all of them 0; got {np.asarray(w).tolist()}.")
        share = jnp.where(proper, w / total, jnp.nan).reshape((-1,) + (1,) * (excess.ndim - 1))
        none = share == 0
        return cls._plain(jnp.sum(jnp.where(none, 0.0, share * jnp.where(none, 0.0, excess)), axis=0), labels)

    def principal_axes(self, k: int | None = None) -> Axes:
        """Of a batch of m beliefs, the axes along which they differ most, k of them or min(m − 1, n − 1)."""
        if self.excess.ndim != 2:
            raise ValueError(
                f"Principal axes are of a batch of beliefs along one axis; got a batch of shape {self.excess.shape[:-1]}."
            )
        m, n = self.excess.shape
        if (most := min(m - 1, n - 1)) < 1:
            raise ValueError(
                f"Principal axes are of two beliefs or more, about two hypotheses or more; got {m} of {n} hypotheses."
            )
        k = most if k is None else k
        if not 1 <= k <= most:
            raise ValueError(f"{m} beliefs of {n} hypotheses have from 1 to {most} principal axes; got k={k}.")
        clr = self.clr()
        centre = jnp.mean(clr, axis=0)
        left, sizes, axes = jnp.linalg.svd(clr - centre[None], full_matrices=False)
        return Axes(self.from_clr(centre, self.labels), axes[:k], sizes[:k] ** 2 / (m - 1), (left * sizes[None])[:, :k])

    def apply(self, matrix: ArrayLike, labels: Sequence[Hashable] | None = None) -> "Belief":
        """A linear map of belief space: the belief of log-ratios M · clr(b), M of shape (n′, n).

        >>> from surprax.beliefs import Belief
        >>> b = Belief.from_probabilities([0.5, 0.3, 0.2])
        >>> print(f"{b.apply(2.0 * jnp.eye(3))[0]:.3f}, {(b * 2.0)[0]:.3f}")
        0.658, 0.658
        """
        m = jnp.asarray(matrix)
        if m.ndim != 2 or m.shape[1] != self.excess.shape[-1]:
            raise ValueError(
                f"A map of beliefs about {self.excess.shape[-1]} hypotheses has as many columns; got shape {m.shape}."
            )
        named = self.labels if labels is None and m.shape[0] == m.shape[1] else labels
        return self.from_clr(jnp.einsum("ij,...j->...i", m, self.clr()), named)

    def _needs_all_possible(self) -> None:
        if is_traced(self.excess):
            return
        if (what := self._first_impossible()) is not None:
            raise ValueError(
                f"Beliefs are vectors where every hypothesis is possible; {what} is not. Leave it out, or use fisher_rao, which"
                " takes impossible ones."
            )


def eigen(matrix: ArrayLike) -> Eigen:
    """Eigenvalues and eigenvectors of a linear map of beliefs (`Belief.apply`): of M between vectors that add to 0.

    Temperature t is the map t·1, of which all eigenvalues are t. Complex where the map turns.

    >>> print(eigen([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]).values.round(3) + 0.0)
    [0.25 0.25]
    """
    m = np.asarray(matrix, np.float64)
    if m.ndim != 2 or m.shape[0] != m.shape[1] or len(m) < 2:
        raise ValueError(f"Eigenvalues are of a square map of beliefs about 2 hypotheses or more; got shape {m.shape}.")
    rows, columns = np.arange(1, len(m))[:, None], np.arange(len(m))[None, :]
    basis = np.where(columns < rows, 1.0, np.where(columns == rows, -rows, 0.0)) / np.sqrt(rows * (rows + 1.0))
    inner = basis @ m @ basis.T
    symmetric = np.allclose(inner, inner.T, rtol=1e-12, atol=1e-12 * np.max(np.abs(inner), initial=0.0))
    values, vectors = np.linalg.eigh(0.5 * (inner + inner.T)) if symmetric else np.linalg.eig(inner)
    order = np.argsort(-np.abs(values), kind="stable")
    return Eigen(values[order], basis.T @ vectors[:, order])


def _finite(excess: Array) -> Array:
    return jnp.where(jnp.isposinf(excess), 0.0, excess)


def _clr(excess: Array) -> Array:
    return jnp.mean(excess, axis=-1, keepdims=True) - excess


def _length(v: Array) -> Array:
    """Whose gradient at 0 is 0."""
    square = jnp.sum(v**2, axis=-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), square)


def _unit(v: Array) -> Array:
    return v / _length(v)[..., None]


def _length_of(excess: Array, gone: Array) -> Array:
    """Of a belief without what is gone; +inf where something is."""
    return jnp.where(jnp.any(gone, axis=-1), jnp.inf, _length(_clr(_finite(excess))))


def _like(v: Any, values: np.ndarray) -> Any:
    """Factors along the last axis in the dtype of v, with axes of length 1 for its batch."""
    return values.astype(v.dtype).reshape((1,) * (v.ndim - 1) + values.shape)


@jax.jit
def _fisher_rao(s: Array, t: Array) -> Array:
    # √p − √q = √p (1 − exp(½(s − t))), of the greater one.
    low, high = jnp.minimum(s, t), jnp.maximum(s, t)
    some = ~jnp.isposinf(low)
    lost = some & jnp.isposinf(high)
    gap = jnp.where(lost, jnp.inf, jnp.where(some & ~lost, high, 0.0) - jnp.where(some & ~lost, low, 0.0))
    low = jnp.where(some, low, 0.0)
    chord = jnp.sum(jnp.where(some, jnp.exp(-low) * jnp.expm1(-0.5 * gap) ** 2, 0.0), axis=-1)
    safe = jnp.where(chord > 0, chord, 1.0)
    angle = jnp.where(chord > 0, 4.0 * jnp.arcsin(jnp.minimum(0.5 * jnp.sqrt(safe), 1.0)), chord)
    contradiction = jnp.all(jnp.isposinf(s), axis=-1) | jnp.all(jnp.isposinf(t), axis=-1)
    return jnp.where(contradiction, jnp.nan, angle)
