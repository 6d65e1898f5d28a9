"""Parameters in batches: the leaves of a distribution, the shape of its batch, and how batches are lined up with each other."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.parameters import as_parameter, check_components, check_parameter
from surprax.numerics.precision import is_traced

__all__ = ["Parametrised", "Wide", "align", "beside", "map_parameters", "pick_distribution"]


class Parametrised:
    """Named parameters, each an array whose last axes may belong together, or distributions; the other axes are the batch."""

    parameters: ClassVar[dict[str, Any]]
    """By name: the constraint, how many axes belong together (`event_dim`), and the kind of a distribution."""
    event_dim: ClassVar[int] = 0
    """How many of the last axes of an observation belong together: 0 for numbers, 1 for vectors, 2 for matrices."""

    def __post_init__(self) -> None:
        for name, metadata in self.parameters.items():
            if metadata["constraint"] is None:
                check_components(type(self).__name__, name, getattr(self, name), metadata["kind"])
                continue
            value = as_parameter(getattr(self, name))
            check_parameter(type(self).__name__, name, value, metadata["constraint"])
            object.__setattr__(self, name, value)
        if any(isinstance(leaf, tuple) or np.ndim(leaf) for leaf in self._leaves()) and not is_traced(self._leaves()):
            try:
                _ = self.batch_shape
            except ValueError:
                shapes = {
                    name: [*_batch_shapes(getattr(self, name), 0)]
                    if meta["constraint"] is None
                    else np.shape(getattr(self, name))
                    for name, meta in self.parameters.items()
                }
                raise ValueError(
                    f"{type(self).__name__}: parameters must broadcast against each other; got shapes {shapes}."
                ) from None

    @classmethod
    def _of(cls, **leaves: Any) -> Self:
        """A distribution of these leaves, unchecked (they may be traced, or no arrays at all)."""
        if leaves.keys() != cls.parameters.keys():
            raise TypeError(f"{cls.__name__} has the parameters {', '.join(cls.parameters)}; got {', '.join(leaves)}.")
        d = object.__new__(cls)
        for name, leaf in leaves.items():
            object.__setattr__(d, name, leaf)
        return d

    def _leaves(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.parameters)

    # Shape.

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch of distributions: () for a single one."""
        shapes = [s for n, m in self.parameters.items() for s in _batch_shapes(getattr(self, n), m["event_dim"])]
        return np.broadcast_shapes(*shapes)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one observation: () for a number."""
        return ()

    def __getitem__(self, index: Any) -> Self:
        """Distributions of the batch, by any NumPy index of its axes."""
        shape = self.batch_shape
        whole = index if isinstance(index, tuple) else (index,)

        def pick(leaf: Any, meta: Any) -> Any:
            event = np.shape(leaf)[np.ndim(leaf) - meta["event_dim"] :]
            xp = jnp if isinstance(leaf, jax.Array) else np
            # "All axes before" are those of the batch: what comes after must not reach into an event.
            rest = (slice(None),) * len(event) if any(i is Ellipsis for i in whole) else ()
            return xp.broadcast_to(leaf, shape + event)[(*whole, *rest)]

        return map_parameters(pick, self)

    def __iter__(self) -> Iterator[Self]:
        """The distributions of the batch, along its first axis."""
        if not self.batch_shape:
            raise TypeError(f"{type(self).__name__} is a single distribution; only a batch has several to go through.")
        return (self[i] for i in range(self.batch_shape[0]))

    def __repr__(self) -> str:
        def told(leaf: Any) -> str:
            if isinstance(leaf, Parametrised | tuple) or is_traced(leaf) or not hasattr(leaf, "shape"):
                return str(leaf)
            array = np.asarray(leaf)
            if array.ndim == 0:
                return f"{array.item():.9g}"
            return np.array2string(array, precision=6, separator=", ", threshold=6, max_line_width=120)

        return f"{type(self).__name__}({', '.join(f'{name}={told(getattr(self, name))}' for name in self.parameters)})"


def _batch_shapes(value: Any, event_dim: int) -> Iterable[tuple[int, ...]]:
    if isinstance(value, tuple):
        for part in value:
            yield from _batch_shapes(part, event_dim)
    elif isinstance(value, Parametrised):
        yield value.batch_shape
    else:
        yield np.shape(value)[: np.ndim(value) - event_dim]


def map_parameters(function: Callable[..., Any], d: Any, *others: Any) -> Any:
    """A distribution whose parameters are function(leaf, metadata) of those of `d`, also inside of its component distributions.

    With `others` of the same structure: function(leaf, metadata, *leaves of the others).
    """

    def of(value: Any, meta: Any, *more: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(of(v, meta, *m) for v, *m in zip(value, *more))
        if isinstance(value, Parametrised):
            return map_parameters(function, value, *more)
        return function(value, meta, *more)

    return type(d)._of(
        **{n: of(getattr(d, n), meta, *(getattr(other, n) for other in others)) for n, meta in d.parameters.items()}
    )


def align(*items: Any, rank: int = 0) -> tuple[Any, ...]:
    """Arrays and distributions with their batch axes lined up to one rank, as NumPy's broadcasting does silently.

    (JAX can be told to refuse silent promotion of ranks; this library works under that setting.) Arrays of which the last axes are
    not batch are passed as `Wide`.
    """

    def rank_of(item: Any) -> int:
        if isinstance(item, Parametrised):
            return len(item.batch_shape)
        return jnp.ndim(item.array) - item.event_dim if isinstance(item, Wide) else jnp.ndim(item)

    rank = max(rank, *(rank_of(item) for item in items))

    def lift(leaf: Any, event_dim: int, beside_vectors: bool = False) -> Array:
        leaf = jnp.asarray(leaf)
        missing = rank - (leaf.ndim - event_dim)
        if missing > 0 and (leaf.ndim > 0 or beside_vectors):
            return leaf.reshape((1,) * missing + leaf.shape)
        return leaf

    def lined(item: Any) -> Any:
        if isinstance(item, Parametrised):
            return map_parameters(lambda leaf, meta: lift(leaf, meta["event_dim"], item.event_dim > 0), item)
        return lift(*item) if isinstance(item, Wide) else lift(item, 0)

    return tuple(lined(item) for item in items)


class Wide(NamedTuple):
    """An array of which the last `event_dim` axes belong together."""

    array: Any
    event_dim: int


def beside(condition: Array, event_dim: int) -> Array:
    """A condition on observations, beside the `event_dim` axes of each."""
    return condition.reshape(condition.shape + (1,) * event_dim)


def pick_distribution(condition: Array, d: Any, other: Any) -> Any:
    """The parameters of `d` where the condition holds (an array of the rank of the batch), else those of `other`."""

    def pick(leaf: Any, meta: Any, its: Any) -> Array:
        return jnp.where(beside(condition, meta["event_dim"] if jnp.ndim(condition) else 0), leaf, its)

    return map_parameters(pick, d, other)
