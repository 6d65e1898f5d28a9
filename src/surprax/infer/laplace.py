"""The normal approximation at the mode of the free numbers, and the mode of the density of the sites themselves."""

from collections.abc import Callable

import jax
import numpy as np
from jax import Array

from surprax.infer.approximation import Approximation
from surprax.infer.modes import LARGEST_NEWTON, derivatives, find_modes, newton, precise_energy, widths

__all__ = ["laplace", "maximum"]

_LARGEST_HESSIAN = 2_000
"""Free numbers up to which there is a Hessian to factor: 32 MB, and a few seconds."""


def laplace(model: Callable[[], object]) -> Approximation:
    """N(mode, H⁻¹) of the free numbers of a model without arguments, where H is the Hessian of the energy at the mode.

    Raises:
        ValueError: where no mode is found, or there are too many free numbers.
    """
    energy = precise_energy(model)
    if energy.size > _LARGEST_HESSIAN:
        raise ValueError(
            f"The Laplace approximation takes the Hessian of all free numbers, up to {_LARGEST_HESSIAN:,}; this model has"
            f' {energy.size:,}. Use method="svi" or "nuts".'
        )
    with energy.scope():
        mode = find_modes(energy)[0]
        if energy.size > LARGEST_NEWTON and mode.found:
            mode = newton(derivatives(energy), mode.position)
    factor = widths(mode.curvature)
    troubles = []
    if not mode.found or factor is None:
        factor = _widths_anyway(mode.curvature)
        troubles.append(
            "The mode was not found: the density has no peak, or is flat, where the search ended, and the normal approximation"
            ' there says little. Check the model for parameters that the data do not tell apart; or use method="nuts".'
        )
    centre = mode.position

    def draw(key: Array, n: int) -> tuple[np.ndarray, np.ndarray]:
        w = np.asarray(jax.random.normal(key, (n, len(centre))), np.float64)
        return centre + w @ factor.T, -0.5 * np.sum(w**2, axis=1)

    return Approximation(energy, draw, "normal approximation", troubles)


def _widths_anyway(curvature: np.ndarray) -> np.ndarray:
    """A factor of the inverse of the curvature with its eigenvalues made positive."""
    if not np.all(np.isfinite(curvature)):
        raise ValueError(
            "The density of the model is 0 or NaN, or has no derivatives, where the search for the mode ended; check that the"
            " data lie inside of the supports."
        )
    curvature = np.diag(curvature) if curvature.ndim == 1 else curvature
    eigenvalues, vectors = np.linalg.eigh(curvature)
    size = np.abs(eigenvalues)
    return vectors / np.sqrt(np.maximum(size, max(1e-6 * size.max(), 1e-12)))


def maximum(model: Callable[[], object]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The sites at the mode of their joint density given the data, in their own scale: no Jacobian of a transformation counts.

    Returns:
        Values by site, and sentences about them.
    """
    energy = precise_energy(model, jacobian=False)
    with energy.scope():
        mode = find_modes(energy)[0]
        values = energy.values(mode.position[None])
    troubles = []
    if not mode.found:
        troubles.append(
            "The search for the mode did not settle: the density may have its maximum at the edge of a support, or none. Check"
            ' the priors of scales; or use method="nuts".'
        )
    return {name: value[0] for name, value in values.items()}, troubles
