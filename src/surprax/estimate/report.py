"""What an optimiser did, and whether where it ended is a maximum: the certificate of an estimate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surprax.estimate.newton import scaled

__all__ = ["Report", "certify"]

FLAT = 1e-11
"""Curvature, relative to that along single parameters, below which a direction is flat but for rounding."""

SMALL = 1e-6
"""Nats by which a maximum may be missed: a thousandth of a standard deviation."""


@dataclass(frozen=True)
class Report:
    """What an optimiser did.

    Attributes:
        method: how it climbed.
        iterations: how many steps it took.
        seconds: how long it took.
        gradient_norm: largest slope of the log-likelihood in the free numbers, in nats.
        decrement: by how many nats the maximum is expected to lie higher (Newton's decrement); NaN where it was not computed.
        condition: number of the Hessian in units of its diagonal; NaN where it was not computed.
        flat: parameters that are mixed by a direction along which the log-likelihood is flat.
        reason: why this is not a maximum; "" where it is.
    """

    method: str
    iterations: int
    seconds: float
    gradient_norm: float
    decrement: float
    condition: float
    flat: tuple[str, ...]
    reason: str

    @property
    def converged(self) -> bool:
        """Whether the certificate holds: the gradient vanishes, and the log-likelihood falls in every direction."""
        return not self.reason

    def __str__(self) -> str:
        end = "a maximum" if self.converged else f"not a maximum: {self.reason}"
        number = f"{self.iterations:,} iteration{'s' * (self.iterations != 1)}"
        return (
            f"{end}, after {number} of {self.method} in {self.seconds:.2g} s; gradient {self.gradient_norm:.2g}, decrement"
            f" {self.decrement:.2g} nat, condition {self.condition:.2g}"
        )


def certify(
    method: str,
    iterations: int,
    seconds: float,
    value: float,
    gradient: np.ndarray,
    curvature: np.ndarray,
    slopes: np.ndarray,
    labels: Sequence[str],
    borders: Sequence[str] = (),
) -> Report:
    """The report of an end: its value, gradient and Hessian in free numbers z, the derivatives ∂θ/∂z of parameters θ, and those
    at the border of their domain."""

    def made(reason: str, decrement: float = np.nan, condition: float = np.nan, flat: Any = ()) -> Report:
        largest = float(np.max(np.abs(gradient), initial=0.0))
        return Report(method, iterations, seconds, largest, decrement, condition, tuple(flat), reason)

    if not np.isfinite(value):
        what = "not a number" if np.isnan(value) else "infinite"
        return made(f"the log-likelihood is {what} there")
    if not (np.all(np.isfinite(gradient)) and np.all(np.isfinite(curvature))):
        return made("the log-likelihood has no finite derivatives there")
    if not len(gradient):
        return made("", 0.0, 1.0)
    _, eigenvalues, slope, vectors = scaled(gradient, curvature)
    flat: tuple[str, ...] = ()
    dead = np.abs(np.diagonal(curvature)) <= 1e-8  # units are cut there
    if eigenvalues[0] < FLAT or np.any(dead):
        direction = vectors[:, 0]
        moved = np.abs(slopes @ (direction / np.sqrt(np.maximum(np.abs(np.diagonal(curvature)), 1e-8))))
        flat = tuple(label for label, much in zip(labels, moved) if much > 0.05 * np.max(moved, initial=0.0))
    positive = eigenvalues > 0
    decrement = float(0.5 * np.sum(slope[positive] ** 2 / eigenvalues[positive]))
    condition = float(eigenvalues[-1] / eigenvalues[0]) if eigenvalues[0] > 0 else float("inf")
    if eigenvalues[0] < -FLAT:
        return made("it is a saddle, from which the log-likelihood rises on", decrement, condition, flat)
    if flat and borders:
        ends = ", ".join(borders[:6])
        return made(f"the log-likelihood rises towards the border of the domain of {ends}", decrement, condition, flat)
    if flat:
        return made(
            f"the log-likelihood is flat along a direction that mixes {_told(flat)}", decrement, condition, flat
        )
    if decrement > SMALL:
        return made(f"the maximum is expected to be {decrement:.2g} nat higher", decrement, condition, flat)
    return made("", decrement, condition)


def _told(names: Sequence[str]) -> str:
    few = list(names[:6])
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(few) + more if more or len(few) < 2 else f"{', '.join(few[:-1])} and {few[-1]}"
