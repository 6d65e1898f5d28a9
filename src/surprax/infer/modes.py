"""Where the energy of a model is least, and how wide the posterior is there.

Newton's method in float64, whatever precision is sampled in: with 10⁹ rows a posterior is 10⁻⁵ wide, and starting points a unit
away are 10⁵ standard deviations off. Steps are damped, and taken along the eigenvectors of the scaled Hessian by the size of its
eigenvalues, so that they lead away from saddles too (Dauphin et al. 2014, "Identifying and attacking the saddle point problem").
What is converged is told by the Newton decrement ½ gᵀH⁻¹g: how many nats below this point the minimum is expected to be.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.estimate.newton import newton as descend
from surprax.infer.coordinates import Coordinate
from surprax.infer.energy import Energy
from surprax.models.aside import Aside
from surprax.models.descent import descend as quasi_newton
from surprax.numerics.compilation import SOON_RUN, kept

__all__ = [
    "LARGEST_NEWTON",
    "Mode",
    "Slopes",
    "derivatives",
    "find_modes",
    "newton",
    "precise_energy",
    "slopes",
    "starting_points",
    "widths",
]

LARGEST_NEWTON = 200
"""Free numbers up to which the Hessian is made in each step; beyond, L-BFGS, and the Hessian's diagonal at the end."""

type Slopes = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""U and its gradient at points z of shape (n, d): shapes (n,) and (n, d)."""

_ELEMENTS = 2**23
"""How many rows of the Hessian, times numbers of the data, are computed at once."""
_MANY = 100_000
_ROUNDS = 3


@dataclass(frozen=True)
class Mode:
    """Where a search ended.

    Attributes:
        position: free numbers, shape (d,).
        energy: U there, in nats.
        curvature: the Hessian of U, shape (d, d), or its diagonal, shape (d,).
        found: whether this is a minimum: the gradient vanishes, and the curvature is positive.
    """

    position: np.ndarray
    energy: float
    curvature: np.ndarray
    found: bool


def precise_energy(model: Callable[[], Any], *, jacobian: bool = True, chosen: Sequence[Coordinate] = ()) -> Energy:
    """The energy in float64; in JAX's default precision where the model itself insists on that."""
    try:
        return Energy(model, float64=True, jacobian=jacobian, chosen=chosen)
    except TypeError:  # loops whose state was made float32 outside of the model cannot go on in float64
        return Energy(model, jacobian=jacobian, chosen=chosen)


def find_modes(energy: Energy, count: int | None = None, evaluate: Slopes | None = None) -> list[Mode]:
    """The ends of searches from several starting points, least energy first, those that found a minimum before the others.

    `count` of them, or 4, or 2 where the data are many: those tend to make a posterior with one mode, and each step slow.
    """
    count = count or (2 if _size_of_data(energy) > _MANY else 4)
    evaluate = evaluate or slopes(energy)
    modes = [_search(energy, evaluate, start) for start in starting_points(energy.size, count)]
    return sorted(modes, key=lambda mode: (not mode.found, mode.energy))


def _size_of_data(energy: Energy) -> int:
    return max((int(np.size(constant)) for constant in energy.constants), default=1)


def starting_points(size: int, count: int) -> np.ndarray:
    """Points of [−2, 2]ᵈ that fill it evenly, the first of them 0: shape (count, size).

    >>> starting_points(1, 3).tolist()
    [[0.0], [-1.527...], [0.944...]]
    """
    # Kronecker's sequence with the fractional parts of √prime, one prime for each axis.
    steps = np.sqrt(_primes(size)) % 1.0
    if size == 1:
        steps = np.array([(np.sqrt(5.0) - 1.0) / 2.0])
    return 4.0 * ((0.5 + np.outer(np.arange(count), steps)) % 1.0) - 2.0


def _primes(count: int) -> np.ndarray:
    most = max(15, int(1.3 * count * np.log(count + 2.0)) + 10)
    sieve = np.ones(most, bool)
    sieve[:2] = False
    for i in range(2, int(most**0.5) + 1):
        sieve[i * i :: i] &= not sieve[i]
    return np.flatnonzero(sieve)[:count]


def widths(curvature: np.ndarray) -> np.ndarray | None:
    """A factor L of the inverse of the curvature, L Lᵀ = H⁻¹, or the square root of its diagonal; None where H is not positive.

    >>> widths(np.array([[4.0, 0.0], [0.0, 0.25]])).tolist()
    [[0.5, 0.0], [0.0, 2.0]]
    """
    diagonal = curvature if curvature.ndim == 1 else np.diagonal(curvature)
    if not (np.all(np.isfinite(curvature)) and np.all(diagonal > 0.0)):
        return None
    scale = 1.0 / np.sqrt(diagonal)
    if curvature.ndim == 1:
        return scale
    try:
        factor = np.linalg.cholesky(scale[:, None] * curvature * scale)
    except np.linalg.LinAlgError:
        return None
    if np.min(np.diagonal(factor)) < 1e-6:  # flat to rounding in some direction
        return None
    return scale[:, None] * np.linalg.inv(factor).T


_STEP = 1e-4
"""Of differences of gradients, relative to numbers greater than 1: their error in a second derivative is about its square."""


def slopes(energy: Energy) -> Slopes:
    """By a program of its own."""
    slope, size = energy.slope, energy.size
    at_once = 2 * size + 1 if size <= LARGEST_NEWTON else 1
    small = size * _size_of_data(energy) < _MANY

    def build() -> Any:
        def each(constants: Any, points: Any, count: Any) -> Any:
            def found(i: Any, told: Any) -> Any:
                value, gradient = slope(constants, points[i])
                return told[0].at[i].set(value), told[1].at[i].set(gradient)

            return jax.lax.fori_loop(0, count, found, (jnp.zeros(len(points), points.dtype), jnp.zeros_like(points)))

        points = jax.ShapeDtypeStruct((at_once, size), energy.dtype)
        options = SOON_RUN if small else None
        return Aside(each, energy.constants, points, jax.ShapeDtypeStruct((), np.int32), options=options)

    program = kept(("slopes", at_once, small, energy.fingerprint), build)

    def evaluate(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = np.zeros((at_once, size), energy.dtype)
        points[: len(z)] = z
        told = program(energy.constants, points, np.int32(len(z)))
        values, gradients = (np.asarray(v, np.float64)[: len(z)] for v in told)
        return values, gradients

    return evaluate


def _derivatives_by(evaluate: Slopes, size: int) -> Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]:
    """U, its gradient and its Hessian, as a function of z; the latter by central differences of gradients in float64."""

    def all_three(z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        steps = _STEP * np.maximum(1.0, np.abs(z))
        away = np.diag(steps)
        values, gradients = evaluate(np.concatenate([z[None], z + away, z - away]))
        apart = np.diagonal((z + away) - (z - away))  # as rounded
        curvature = (gradients[1 : size + 1] - gradients[size + 1 :]) / apart[:, None]
        return float(values[0]), gradients[0], 0.5 * (curvature + curvature.T)

    return all_three


def derivatives(energy: Energy) -> Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]:
    """The same by automatic differentiation."""
    pure, size = energy.pure, energy.size
    numbers = _size_of_data(energy)
    at_once, small = min(size, max(1, _ELEMENTS // numbers)), size * numbers < _MANY

    def build() -> Any:
        def all_three(constants: Any, z: Any) -> Any:
            value, gradient = jax.value_and_grad(pure, argnums=1)(constants, z)
            slope = functools.partial(jax.grad(pure, argnums=1), constants)
            curvature = jax.lax.map(lambda unit: jax.jvp(slope, (z,), (unit,))[1], jnp.eye(size), batch_size=at_once)
            return value, gradient, curvature

        return jax.jit(all_three, compiler_options=SOON_RUN if small else None)

    program = kept(("derivatives", at_once, small, energy.fingerprint), build)

    def evaluate(z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        value, gradient, curvature = program(energy.constants, z.astype(energy.dtype))
        curvature = np.asarray(curvature, np.float64)
        return float(value), np.asarray(gradient, np.float64), 0.5 * (curvature + curvature.T)

    return evaluate


def _search(energy: Energy, evaluate: Slopes, start: np.ndarray) -> Mode:
    with np.errstate(all="ignore"):  # a search that runs off meets infinities, and turns back
        if energy.size > LARGEST_NEWTON:
            return _quasi_newton(energy, evaluate, start)
        return newton(_derivatives_by(evaluate, energy.size) if energy.float64 else derivatives(energy), start)


def newton(evaluate: Callable[[np.ndarray], Any], z: np.ndarray) -> Mode:
    """Damped Newton steps down from z; `evaluate` gives value, gradient and Hessian."""
    end = descend(evaluate, z)
    return Mode(end.position, end.value, end.curvature, end.found)


def _finite(*parts: Any) -> bool:
    return all(np.all(np.isfinite(part)) for part in parts)


def _quasi_newton(energy: Energy, slope: Slopes, z: np.ndarray) -> Mode:
    """L-BFGS in units of the curvatures, which are taken anew where it ends; a few times over."""
    curvatures = _curvatures(energy, slope)

    def evaluate(z: np.ndarray) -> tuple[float, np.ndarray]:
        (value,), (gradient,) = slope(z[None])
        return (float(value), gradient) if _finite(value, gradient) else (np.inf, np.zeros_like(gradient))

    value, diagonal, found = np.inf, curvatures(z), False
    for _ in range(_ROUNDS):
        if not _finite(diagonal):
            break
        unit = 1.0 / np.sqrt(np.maximum(np.abs(diagonal), 1e-8))

        def in_units(v: np.ndarray, origin: np.ndarray = z, unit: np.ndarray = unit) -> tuple[float, np.ndarray]:
            value, gradient = evaluate(origin + unit * v)
            return value, unit * gradient

        end = quasi_newton(in_units, np.zeros_like(z), 500, 1e-3)
        z, value = z + unit * end.position, end.value
        diagonal = curvatures(z)
        # By the diagonal alone, which is all that there is: each number is near its best on its own scale.
        found = bool(np.all(diagonal > 0.0) and 0.5 * np.sum(evaluate(z)[1] ** 2 / diagonal) < 1e-4 * energy.size)
        if found:
            break
    return Mode(z, value, diagonal, found)


_ONE_BY_ONE = 16
"""Numbers of a site of which each is moved by itself."""

_ALIKE = 1e-3


def _curvatures(energy: Energy, evaluate: Slopes) -> Callable[[np.ndarray], np.ndarray]:
    """The diagonal of the Hessian, as a function of z, by differences of gradients.

    Entries of a large site seldom act on each other: all of them are moved at once, up and down at random. Where they do, that
    tells something else each time, and they are moved one by one.
    """
    places = np.split(np.arange(energy.size), np.cumsum(energy.sizes)[:-1])

    def along(z: np.ndarray, direction: np.ndarray) -> np.ndarray:
        step = _STEP * np.maximum(1.0, np.abs(z)) * direction
        (up,), (down,) = evaluate((z + step)[None])[1], evaluate((z - step)[None])[1]
        apart = (z + step) - (z - step)
        return np.divide(up - down, apart, out=np.zeros_like(z), where=apart != 0.0)

    def diagonal(z: np.ndarray) -> np.ndarray:
        found, rng = np.zeros(energy.size), np.random.default_rng(0)
        for site in places:
            if len(site) > _ONE_BY_ONE:
                signs = np.zeros((2, energy.size))
                signs[:, site] = rng.choice([-1.0, 1.0], (2, len(site)))
                first, again = (along(z, sign)[site] for sign in signs)
                found[site] = 0.5 * (first + again)
                if np.allclose(first, again, rtol=_ALIKE, atol=_ALIKE * np.max(np.abs(first), initial=0.0)):
                    continue
            for i in site:
                found[i] = along(z, np.eye(1, energy.size, i)[0])[i]
        return found

    return diagonal
