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

import functools
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

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

    Raises:
        ValueError: where a hypothesis is impossible, by its label; lengths and distances of traced beliefs are then +inf.
    """

    excess: Array
    labels: tuple[Hashable, ...] | None

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
        return cls(-jnp.asarray(clr), labels)  # type: ignore[call-arg, return-value]

    def ilr(self) -> Array:
        """Isometric log-ratios: n − 1 orthonormal coordinates, the k-th of them √(k/(k+1)) (mean of clr₁…clrₖ − clrₖ₊₁); shape
        batch + (n − 1,)."""
        return self.clr() @ _helmert(self.excess.shape[-1], self.excess.dtype).T

    @classmethod
    def from_ilr(cls, ilr: ArrayLike, labels: Sequence[Hashable] | None = None) -> "Belief":
        """The belief of these coordinates."""
        ilr = jnp.asarray(ilr)
        return cls.from_clr(ilr @ _helmert(ilr.shape[-1] + 1, ilr.dtype), labels)

    def inner(self, other: Any) -> Array:
        """Σ clrᵢ clr′ᵢ in nats², shape batch: 0 for evidence that speaks of different things."""
        self._fits(other)  # type: ignore[attr-defined]
        return jnp.sum(self.clr() * other.clr(), axis=-1)

    def norm(self) -> Array:
        """Length √⟨b, b⟩ in nats, shape batch; 0 for the uniform belief.

        >>> from surprax.beliefs import Belief
        >>> print(Belief.from_probabilities([0.1, 0.4, 0.4], normalised=False).norm().round(3))
        1.132
        """
        if is_traced(self.excess):
            return jnp.where(jnp.any(jnp.isposinf(self.excess), axis=-1), jnp.inf, _length(_clr(_finite(self.excess))))
        return _length(self.clr())

    def distance(self, other: Any) -> Array:
        """Length of the difference, in nats, shape batch: unchanged by evidence that both take in."""
        return (self - other).norm() if not is_traced((self.excess, other.excess)) else self._traced_distance(other)

    def _traced_distance(self, other: Any) -> Array:
        self._fits(other)  # type: ignore[attr-defined]
        gone = jnp.isposinf(self.excess) | jnp.isposinf(other.excess)
        return jnp.where(jnp.any(gone, axis=-1), jnp.inf, _length(_clr(_finite(self.excess) - _finite(other.excess))))

    def angle(self, other: Any) -> Array:
        """Between two beliefs, in radians from 0 to π, shape batch: 2 arctan(‖u − v‖/‖u + v‖) of their unit vectors; NaN for a
        uniform one.

        >>> from surprax.beliefs import Belief
        >>> b = Belief([0.0, 1.0, 2.0])
        >>> print((b.angle(b * 3.0) / np.pi).round(3), (b.angle(Belief([2.0, 1.0, 0.0])) / np.pi).round(3))
        0.0 1.0
        """
        self._fits(other)  # type: ignore[attr-defined]
        u, v = (_unit(b.clr()) for b in (self, other))
        return 2.0 * jnp.arctan2(_length(u - v), _length(u + v))

    def project(self, *onto: Any) -> "Belief":
        """The nearest belief among the sums of multiples of others: what they can say of this one."""
        if not onto:
            raise ValueError("A belief is projected onto at least one other; got none.")
        for other in onto:
            self._fits(other)  # type: ignore[attr-defined]
        span = jnp.stack([other.clr() for other in onto], axis=-1)
        weights = jnp.linalg.lstsq(span, self.clr())[0] if span.ndim == 2 else _many_lstsq(span, self.clr())
        return self.from_clr(jnp.einsum("...ij,...j->...i", span, weights), self.labels)

    def fisher_rao(self, other: Any) -> Array:
        """Fisher and Rao's distance 2 arccos Σ √(pᵢ qᵢ), from 0 to π, shape batch; impossible hypotheses are welcome.

        From the chord, 4 arcsin(½ √Σ(√p − √q)²), which keeps its digits for beliefs that are nearly equal.

        >>> from surprax.beliefs import Belief
        >>> print(Belief.from_probabilities([1.0, 0.0]).fisher_rao(Belief.from_probabilities([0.0, 1.0])).round(4))
        3.1416
        """
        self._fits(other)  # type: ignore[attr-defined]
        return _fisher_rao(self.surprise(), other.surprise())  # type: ignore[attr-defined]

    @classmethod
    def pool(cls, beliefs: Sequence[Any] | Any, weights: ArrayLike | None = None) -> "Belief":
        """The mean of beliefs, by weights of any sum > 0: a geometric mean of probabilities, called logarithmic pooling.

        What one of positive weight excludes is excluded. `beliefs`: several, or one with a batch axis.

        >>> from surprax.beliefs import Belief
        >>> a, b = Belief.from_probabilities([0.9, 0.1]), Belief.from_probabilities([0.1, 0.9])
        >>> print(Belief.pool([a, b]).probabilities(), Belief.pool([a, b], [3.0, 1.0])[0].round(2))
        [0.5 0.5] 0.75
        """
        if isinstance(beliefs, Sequence):
            if not beliefs:
                raise ValueError("There is nothing to pool: pass one belief at least.")
            for other in beliefs[1:]:
                beliefs[0]._fits(other)
            excess, labels = jnp.stack([b.excess for b in beliefs], axis=0), beliefs[0].labels
        else:
            excess, labels = beliefs.excess, beliefs.labels
            if excess.ndim < 2:
                raise ValueError("The mean is of several beliefs; got a single one.")
        w = jnp.ones(len(excess), excess.dtype) if weights is None else jnp.asarray(weights, excess.dtype)
        if w.shape != excess.shape[:1]:
            raise ValueError(f"There is one weight for each of {len(excess)} beliefs; got shape {w.shape}.")
        if not is_traced(w) and not (bool(jnp.all(w >= 0)) and bool(jnp.sum(w) > 0)):
            raise ValueError(f"Weights are at least 0, and not all of them 0; got {np.asarray(w).tolist()}.")
        share = (w / jnp.sum(w)).reshape((-1,) + (1,) * (excess.ndim - 1))
        return cls(jnp.sum(jnp.where(share > 0, share * jnp.where(share > 0, excess, 0.0), 0.0), axis=0), labels)  # type: ignore[call-arg, return-value]

    def principal_axes(self, k: int | None = None) -> Axes:
        """Of a batch of m beliefs, the axes along which they differ most, k of them or min(m − 1, n − 1)."""
        if self.excess.ndim != 2:
            raise ValueError(
                f"Principal axes are of a batch of beliefs along one axis; got a batch of shape {self.excess.shape[:-1]}."
            )
        m, n = self.excess.shape
        most = min(m - 1, n - 1)
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
        gone = np.argwhere(np.isposinf(np.asarray(self.excess)))
        if len(gone):
            what = int(gone[0][-1]) if self.labels is None else repr(self.labels[int(gone[0][-1])])
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
    basis = np.asarray(_helmert(len(m), np.float64), np.float64)
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


def _many_lstsq(span: Array, target: Array) -> Array:
    return jnp.einsum("...ij,...j->...i", jnp.linalg.pinv(span), target)


@functools.lru_cache(maxsize=32)
def _helmert_matrix(n: int) -> np.ndarray:
    rows = np.arange(1, n)[:, None]
    columns = np.arange(n)[None, :]
    matrix = np.where(columns < rows, 1.0, np.where(columns == rows, -rows, 0.0))
    return matrix / np.sqrt(rows * (rows + 1.0))


def _helmert(n: int, dtype: Any) -> Any:
    """Orthonormal rows that each add to 0, shape (n − 1, n)."""
    matrix = _helmert_matrix(n)
    return matrix if dtype == np.float64 and not jax.config.jax_enable_x64 else jnp.asarray(matrix, dtype)


@jax.jit
def _fisher_rao(s: Array, t: Array) -> Array:
    # √p − √q = √p (1 − exp(½(s − t))), of the greater one.
    low, high = jnp.minimum(s, t), jnp.maximum(s, t)
    some = jnp.isfinite(low)
    gap = jnp.where(some & jnp.isfinite(high), high - jnp.where(some, low, 0.0), jnp.inf)
    gap = jnp.where(some, gap, 0.0)
    chord = jnp.sum(jnp.where(some, jnp.exp(-jnp.where(some, low, 0.0)) * jnp.expm1(-0.5 * gap) ** 2, 0.0), axis=-1)
    safe = jnp.where(chord > 0, chord, 1.0)
    return jnp.where(chord > 0, 4.0 * jnp.arcsin(jnp.minimum(0.5 * jnp.sqrt(safe), 1.0)), 0.0)
