"""Independent distributions of numbers, as one distribution of a vector."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.families.base import Distribution, compiled, compiled_property, family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome
from surprax.families.parameters import components
from surprax.families.supports import REAL_VECTOR, Region
from surprax.numerics.precision import is_traced

__all__ = ["Product"]


@family
class Product(Distribution):
    """Independent numbers x_1, …, x_d, each of a distribution of its own: s(x) = Σ s_i(x_i).

    Args:
        parts: a tuple of distributions of numbers, of any families, continuous or discrete.

    Entropies, divergences and log-likelihoods are sums over the parts. Where all parts are exponential families, so is this one:
    `natural` and `expectation` are theirs, one after the other, and the Fisher information is block-diagonal; as the families
    of the parts are no parameters, it has no `from_natural`. `fit(x, families=(…))` fits each column by itself.

    >>> from surprax.families import Gamma, Normal
    >>> d = Product((Normal(0.0, 1.0), Gamma(2.0, 3.0)))
    >>> print(f"{d.log_prob([0.5, 1.0]) - Normal(0.0, 1.0).log_prob(0.5) - Gamma(2.0, 3.0).log_prob(1.0):.4f}")
    0.0000
    >>> d.natural.shape
    (4,)
    """

    parts: Any = components(many=True)

    event_dim = 1
    data_support = REAL_VECTOR

    def __post_init__(self) -> None:
        super().__post_init__()
        wide = [type(part).__name__ for part in self.parts if part.event_dim]
        if wide:
            raise ValueError(
                f"Product: parts must be distributions of numbers; {wide[0]} is one of vectors or matrices."
            )

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (len(self.parts),)

    @property
    def support(self) -> Region:
        """Where every part may have a number."""
        parts = self.parts

        def holds(x: Any) -> Any:
            inside = [part.support.contains(x[..., i]) for i, part in enumerate(parts)]
            return jnp.all(jnp.stack(jnp.broadcast_arrays(*inside), axis=-1), axis=-1)

        words = ", ".join(str(part.support) for part in parts)
        return Region(f"vectors of numbers in: {words}", holds, 1, np.zeros)

    def _inner_point(self) -> Array:
        return _beside([part._inner_point() for part in self.parts])

    @property
    def single_peaked(self) -> Any:
        peaked = [jnp.asarray(part.single_peaked) for part in self.parts]
        return jnp.all(jnp.stack(jnp.broadcast_arrays(*peaked)), axis=0)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _total([part._log_density(x[..., i]) for i, part in enumerate(self.parts)])

    # Moments.

    def _mean(self) -> Array:
        return _beside([part._mean() for part in self.parts])

    def _variance(self) -> Array:
        return _beside([part._variance() for part in self.parts])

    def _mode(self) -> Array:
        return _beside([part._mode() for part in self.parts])

    # Information.

    def _entropy(self) -> Array:
        return _total([part._entropy() for part in self.parts])

    def _kl(self, q: Self) -> Array:
        ours, theirs = ([type(part).__name__ for part in d.parts] for d in (self, q))
        if ours != theirs:
            raise TypeError(f"KL is computed between products of the same families: got {ours} and {theirs}.")
        return _total([p._kl(other) for p, other in zip(self.parts, q.parts)])

    # The exponential-family view, where all parts have one.

    @compiled_property
    def natural(self) -> Array:
        """Natural parameters of all parts, one after the other, shape batch + (sum of dimensions,)."""
        return self._joined("natural")

    @compiled_property
    def expectation(self) -> Array:
        """Expectation parameters of all parts, one after the other, shape batch + (sum of dimensions,)."""
        return self._joined("expectation")

    @compiled
    def fisher_information(self) -> Array:
        """Fisher information in the natural parameters: those of the parts along the diagonal."""
        blocks = [part.fisher_information() for part in self._exponential("fisher_information")]
        size, at, rows = sum(b.shape[-1] for b in blocks), 0, []
        for block in blocks:
            k = block.shape[-1]
            block = jnp.broadcast_to(block, (*self.batch_shape, k, k))
            rows.append(jnp.pad(block, [(0, 0)] * len(self.batch_shape) + [(0, 0), (at, size - at - k)]))
            at += k
        return jnp.concatenate(rows, axis=-2)

    def _exponential(self, what: str) -> tuple[Any, ...]:
        others = [type(part).__name__ for part in self.parts if not isinstance(part, ExponentialFamily)]
        if others:
            raise NotImplementedError(f"Product has no {what}: its part {others[0]} is no exponential family.")
        return tuple(self.parts)

    def _joined(self, what: str) -> Array:
        vectors = [getattr(part, what) for part in self._exponential(what)]
        return jnp.concatenate([jnp.broadcast_to(v, self.batch_shape + v.shape[-1:]) for v in vectors], axis=-1)

    # Maximum likelihood.

    @classmethod
    def try_fit(
        cls, data: Any, weights: ArrayLike | None = None, *, families: Any = (), **known: Any
    ) -> tuple[Self, Outcome]:
        """Like `fit`: of each column by itself.

        Args:
            data: observations on the first axis, one column for each family on the last.
            weights: one for each observation, or None.
            families: a tuple of families of numbers, one for each column.
            known: none; where parameters are known, fit the columns one by one.

        Returns:
            The distribution, and the first outcome among the parts that is no maximum.
        """
        if known:
            raise TypeError(
                f"Product.fit takes no known parameters; got {next(iter(known))}. Fit its columns one by one."
            )
        x = jnp.asarray(data) if is_traced(data) else np.asarray(data)
        if not families or x.ndim < 2 or x.shape[-1] != len(families):
            raise ValueError(
                "Product.fit needs families=(...), one for each column of the data: "
                f"got {len(families)} and an array of shape {x.shape}."
            )
        fits, outcomes = zip(*(f.try_fit(x[..., i], weights) for i, f in enumerate(families)))
        code = outcomes[-1].code
        for outcome in outcomes[-2::-1]:
            code = jnp.where(outcome.ok, code, outcome.code)
        return cls(tuple(fits)), Outcome(code)

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        keys = jax.random.split(key, len(self.parts))
        return _beside([jnp.broadcast_to(part._sample(k, shape), shape) for k, part in zip(keys, self.parts)])


def _beside(values: list[Any]) -> Array:
    """Numbers of the parts, broadcast, on a last axis."""
    dtype = jnp.result_type(float)
    return jnp.stack(jnp.broadcast_arrays(*(jnp.asarray(v, dtype) for v in values)), axis=-1)


def _total(values: list[Any]) -> Array:
    return jnp.sum(_beside(values), axis=-1)
