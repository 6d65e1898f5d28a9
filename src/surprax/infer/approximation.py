"""A distribution that stands for a posterior, and how far from it it is."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jax import Array

from surprax.infer.diagnostics import trouble_with_approximation
from surprax.infer.energy import Energy

__all__ = ["Approximation"]


@dataclass(frozen=True)
class Approximation:
    """A distribution q of the free numbers of a model.

    Attributes:
        energy: of the model.
        draw: `draw(key, n)` gives n points (n, d), and log q of each, up to a constant.
        name: what it is called in a sentence.
        troubles: sentences about how it was found.
    """

    energy: Energy
    draw: Callable[[Array, int], tuple[np.ndarray, np.ndarray]]
    name: str
    troubles: list[str] = field(default_factory=list)

    def sample(self, key: Array, n: int) -> dict[str, np.ndarray]:
        """n draws of all sites, (n, …) by name."""
        with self.energy.scope():
            return self.energy.values(self.draw(key, n)[0])

    def checked(self, key: Array, n: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], float, list[str]]:
        """n draws by site; their log-densities "lp" (of the model) and "log_g" (of q), by ArviZ's names; Pareto k; sentences."""
        with self.energy.scope():
            z, log_q = self.draw(key, n)
            log_p = -self.energy.at(z)
            values, log_volume = self.energy.values_and_volumes(z)
        k, troubles = trouble_with_approximation(
            log_p - log_q, {name: values[name] for name in self.energy.names}, self.name
        )
        # Both of the model's own free numbers.
        return values, {"lp": log_p - log_volume, "log_g": log_q - log_volume}, k, [*self.troubles, *troubles]
