"""What a fit is about: a log-likelihood of named parameters, in total and row by row, with its derivatives in float64."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.estimate.coordinates import Coordinates, Slot
from surprax.estimate.newton import Descent, newton
from surprax.numerics.precision import float64_scope, to_float64

__all__ = ["LARGEST_NEWTON", "Problem"]

LARGEST_NEWTON = 500
"""Free numbers up to which second derivatives are made."""

ELEMENTS = 1 << 23
"""How many rows of the Hessian, times numbers of the data, are computed at once."""

PRECISE = 1e-14
"""Newton's decrement in nats, relative to 1 + |log-likelihood|·1e-2, at which parameters are as good as float64 makes them."""


class Problem:
    """A log-likelihood to be maximised over named parameters.

    Args:
        title: what is fitted, for people.
        coordinates: the parameters, and the free numbers behind them.
        total: log-likelihood in nats, total(values, data), of parameters by name.
        each: log-likelihood of each row, each(values, data), shape (n,); None where rows are not known.
        data: a pytree of arrays.
        rows: number of observations, the sum of their weights; None where there is no such number.
    """

    def __init__(
        self,
        title: str,
        coordinates: Coordinates,
        total: Callable[[Mapping[str, Any], Any], Any],
        each: Callable[[Mapping[str, Any], Any], Any] | None,
        data: Any,
        rows: float | None,
    ) -> None:
        self.title, self.coordinates, self.total, self.each, self.rows = title, coordinates, total, each, rows
        self.data = jax.tree.map(to_float64, data)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but compiled programs, which are made again when they are needed."""
        return {name: part for name, part in self.__dict__.items() if name not in self._made_again}

    _made_again = frozenset({"_programs"})

    def with_coordinates(self, coordinates: Coordinates) -> "Problem":
        """The same log-likelihood with other parameters held or tied."""
        return Problem(self.title, coordinates, self.total, self.each, self.data, self.rows)

    def half_covariance(self, z: np.ndarray) -> np.ndarray | None:
        """L with L Lᵀ = H⁻¹, where it is known better than by the Hessian H."""
        return None

    @property
    def size(self) -> int:
        """How many free numbers there are."""
        return self.coordinates.size

    @property
    def slots(self) -> dict[str, Slot]:
        return self.coordinates.slots

    # Everything below is minus the log-likelihood: surprise in nats, which is minimised.

    def surprise(self, z: Any, data: Any, weights: Any = None) -> Any:
        """Total surprise at free numbers z, traceable; of weighted rows where weights are given."""
        values = self.coordinates.values(z)
        if weights is None:
            return -jnp.asarray(self.total(values, data), jnp.result_type(float))
        assert self.each is not None
        return -jnp.sum(jnp.where(weights == 0, 0.0, weights * self.each(values, data)))

    @functools.cached_property
    def _programs(self) -> Any:
        numbers = max((np.size(leaf) for leaf in jax.tree.leaves(self.data)), default=1)
        at_once = min(max(self.size, 1), max(1, ELEMENTS // max(numbers, 1)))

        def slope(z: Any, data: Any, weights: Any) -> Any:
            return jax.grad(self.surprise)(z, data, weights)

        def hessian(z: Any, data: Any, weights: Any) -> Any:
            def along(unit: Any) -> Any:
                return jax.jvp(lambda z: slope(z, data, weights), (z,), (unit,))[1]

            return jax.lax.map(along, jnp.eye(self.size), batch_size=at_once)

        def value_and_slope(z: Any, data: Any, weights: Any) -> Any:
            return jax.value_and_grad(self.surprise)(z, data, weights)

        def all_three(z: Any, data: Any, weights: Any) -> Any:
            return (*value_and_slope(z, data, weights), hessian(z, data, weights))

        def scores(z: Any, data: Any) -> Any:
            assert self.each is not None
            each = self.each
            return jax.jacfwd(lambda z: each(self.coordinates.values(z), data))(z)

        def theta(z: Any) -> Any:
            return self.coordinates.theta(z), jax.jacfwd(self.coordinates.theta)(z)

        return {
            "value": jax.jit(self.surprise),
            "slope": jax.jit(value_and_slope),
            "all": jax.jit(all_three),
            "scores": jax.jit(scores),
            "theta": jax.jit(theta),
        }

    def value(self, z: np.ndarray, weights: Any = None) -> float:
        """Total surprise at z, in nats."""
        with float64_scope():
            return float(self._programs["value"](jnp.asarray(z), self.data, weights))

    def value_and_slope(self, z: np.ndarray, weights: Any = None) -> tuple[float, np.ndarray]:
        """Total surprise at z and its gradient."""
        with float64_scope():
            value, gradient = self._programs["slope"](jnp.asarray(z), self.data, weights)
            return float(value), np.asarray(gradient)

    def derivatives(self, z: np.ndarray, weights: Any = None) -> tuple[float, np.ndarray, np.ndarray]:
        """Total surprise at z, its gradient and its Hessian."""
        with float64_scope():
            value, gradient, curvature = self._programs["all"](jnp.asarray(z), self.data, weights)
            curvature = np.asarray(curvature)
            return float(value), np.asarray(gradient), 0.5 * (curvature + curvature.T)

    def scores(self, z: np.ndarray) -> np.ndarray:
        """Gradients of the log-likelihoods of rows in the free numbers, shape (n, d)."""
        with float64_scope():
            return np.asarray(self._programs["scores"](jnp.asarray(z), self.data))

    def theta(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All parameters as a vector, and its derivatives in the free numbers, shape (p, d)."""
        with float64_scope():
            value, slope = self._programs["theta"](jnp.asarray(z))
            return np.asarray(value), np.asarray(slope).reshape(len(value), self.size)

    def values(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """All parameters by name."""
        with float64_scope():
            return {name: np.asarray(value) for name, value in self.coordinates.values(jnp.asarray(z)).items()}

    def polished(self, z: np.ndarray, weights: Any = None) -> Descent:
        """The minimum near z, by Newton's method, to the last digits that float64 has."""
        scale = 1.0 + 1e-2 * abs(self.value(z, weights))
        return newton(lambda v: self.derivatives(v, weights), z, PRECISE * scale)

    def along(self, z: np.ndarray, i: int, at: float) -> Descent:
        """The minimum near z of all free numbers but number i, which is held at `at`."""
        others = np.delete(np.arange(self.size), i)
        whole = z.copy()
        whole[i] = at
        if at != z[i] and len(others):
            whole[others] = self._aside(z, i, at, others)

        def evaluate(part: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            point = whole.copy()
            point[others] = part
            value, gradient, curvature = self.derivatives(point)
            return value, gradient[others], curvature[np.ix_(others, others)]

        end = newton(evaluate, whole[others], 1e-9)
        position = whole.copy()
        position[others] = end.position
        return Descent(position, end.value, end.gradient, end.curvature, end.found, end.steps)

    def _aside(self, z: np.ndarray, i: int, at: float, others: np.ndarray) -> np.ndarray:
        """Where the other numbers go to first order as number i goes to `at`."""
        _, _, curvature = self.derivatives(z)
        try:
            moved = np.linalg.solve(curvature[np.ix_(others, others)], curvature[others, i])
        except np.linalg.LinAlgError:
            return z[others]
        there = z.copy()
        there[others], there[i] = z[others] - moved * (at - z[i]), at
        stay = z.copy()
        stay[i] = at
        return there[others] if self.value(there) <= self.value(stay) else z[others]
