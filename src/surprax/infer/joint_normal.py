"""Latent sites that are jointly normal given the data: the energy is a quadratic function of all of them.

    U(z) = −log p(z, data) = U(m) + ½ (z − m)ᵀ H (z − m)    ⇒    z | data ~ N(m, H⁻¹)

That U is quadratic is not read off the model; it is seen from its gradient, which must be affine: g(z) = g(z₀) + H (z − z₀) at
points near and far. Linear Gaussian models of any form are among these: hierarchical means, regression, Gaussian processes and
random walks with known scales.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array
from numpyro.distributions import biject_to

from surprax.families.normal import Normal
from surprax.infer.anatomy import Anatomy, Component, Latents, named
from surprax.infer.closed import Member
from surprax.infer.modes import widths
from surprax.infer.parts import NormalPart, Part, flattened, unflattened
from surprax.infer.programs import Hoisted
from surprax.numerics.compilation import kept

__all__ = ["LARGEST", "NORMAL_DATA", "Quadratic", "is_real", "joint_normal_part", "lower_factor", "not_quadratic"]

LARGEST = 2_000
"""Numbers that one normal vector may have: the square of this is factored."""

NORMAL_DATA = ("Normal", "LogNormal", "MultivariateNormal", "MatrixNormal")
"""Families of which the log-density may be quadratic in what their parameters are made of."""

TOLERANCE = 1e-8
_FAR = 10.0


def is_real(anatomy: Anatomy, name: str, latents: Latents) -> bool:
    """Whether a latent site may be any real number, or any array of them."""
    d = anatomy.distribution(name, latents)
    try:
        x = np.linspace(-3.0, 2.0, max(int(np.prod(d.shape(), dtype=np.int64)), 1)).reshape(d.shape())
        return np.array_equal(np.asarray(biject_to(d.support)(x)), x)
    except (NotImplementedError, ValueError, TypeError):
        return False


def not_quadratic(anatomy: Anatomy, component: Component) -> str | None:
    """Why a component cannot be jointly normal, as far as its families tell."""
    for name in component.others:
        site = anatomy.site(name)
        if site.kind == "observed" and site.family is not None and site.family.__name__ not in NORMAL_DATA:
            return f"{site.family.__name__} {name!r} is not normal"
    size = sum(int(np.prod(anatomy.shape(name), dtype=np.int64)) for name in component.latents)
    if size > LARGEST:
        return f"{named(component.latents)} are {size:,} numbers; a joint normal distribution is made of at most {LARGEST:,}"
    return None


def joint_normal_part(anatomy: Anatomy, component: Component) -> Part | str:
    """The posterior of a component as one normal vector, or why it is none. Its latent sites are real numbers."""
    trouble = not_quadratic(anatomy, component)
    if trouble is not None:
        return trouble
    shapes = {name: anatomy.shape(name) for name in component.latents}
    names = (*component.latents, *component.others)

    def energy(z: Any) -> Any:
        latents = unflattened(z, shapes)
        return -sum(anatomy.log_density(name, latents) for name in names)

    quadratic = Quadratic(energy, sum(int(np.prod(s, dtype=np.int64)) for s in shapes.values()))
    found = quadratic.solved()
    if isinstance(found, str):
        culprit = _curved_otherwise(anatomy, component, shapes)
        return f"the log-density of {culprit!r} is not quadratic in {named(component.latents)}" if culprit else found
    mean, factor = found
    return _part(shapes, mean, factor)


class Quadratic:
    """An energy of d real numbers, given others, that is to be quadratic: energy(z, *given)."""

    def __init__(self, energy: Callable[..., Any], size: int, *given: Any) -> None:
        """`given`: an example of the other numbers."""
        self.size = size
        hoisted = Hoisted(energy, jnp.zeros(size), *given)
        self._constants = hoisted.constants
        pure = hoisted.pure

        def build() -> tuple[Any, Any]:
            slope = jax.grad(pure, argnums=1)

            def curvature(constants: Any, z: Any, *given: Any) -> Any:
                def column(unit: Any) -> Any:
                    return jax.jvp(lambda z: slope(constants, z, *given), (z,), (unit,))[1]

                return jax.lax.map(column, jnp.eye(size), batch_size=64)

            return jax.jit(slope), jax.jit(curvature)

        self._slope, self._curvature = kept(("quadratic", hoisted.slope_fingerprint), build)

    def slope(self, z: np.ndarray, *given: Any) -> np.ndarray:
        return np.asarray(self._slope(self._constants, z, *given))

    def curvature(self, z: np.ndarray, *given: Any) -> np.ndarray:
        H = np.asarray(self._curvature(self._constants, z, *given))
        return 0.5 * (H + H.T)

    def solved(self, *given: Any) -> tuple[np.ndarray, np.ndarray] | str:
        """Mean m and factor L with H⁻¹ = L Lᵀ, or why there are none."""
        z = np.random.default_rng(0).normal(size=self.size)
        g, H = self.slope(z, *given), self.curvature(z, *given)
        if not (np.all(np.isfinite(g)) and np.all(np.isfinite(H))):
            return "the log-density has no finite derivatives"
        factor = widths(H)
        if factor is None:
            return "the log-density has no peak: some direction is flat, or it is not concave"
        mean = z - factor @ (factor.T @ g)
        for _ in range(2):  # rounding far from the mean is left behind
            mean = mean - factor @ (factor.T @ self.slope(mean, *given))
        return (mean, factor) if self._is_affine(mean, H, factor, given) else "its log-density is not quadratic"

    def _is_affine(self, mean: np.ndarray, H: np.ndarray, factor: np.ndarray, given: tuple[Any, ...]) -> bool:
        rng = np.random.default_rng(1)
        size = np.abs(H)
        for reach in (1.0, 1.0, _FAR, 1.0 / _FAR):
            step = reach * (factor @ rng.normal(size=self.size))
            for z in (mean + step, reach * rng.normal(size=self.size)):
                g = self.slope(z, *given)
                bound = TOLERANCE * (size @ (np.abs(z - mean) + np.abs(mean)) + np.sqrt(np.diagonal(H)))
                if not np.all(np.abs(g - H @ (z - mean)) <= bound):
                    return False
        return True


def _curved_otherwise(anatomy: Anatomy, component: Component, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The first site whose log-density has third differences along a line."""
    rng = np.random.default_rng(2)
    size = sum(int(np.prod(s, dtype=np.int64)) for s in shapes.values())
    for name in (*component.latents, *component.others):
        for reach in (0.3, 3.0):
            start, step = rng.normal(size=size), reach * rng.normal(size=size)
            line = [unflattened(start + i * step, shapes) for i in range(4)]
            a, b, c, d = (float(anatomy.log_density(name, point)) for point in line)
            if not abs((d - a) - 3.0 * (c - b)) <= 1e-9 * max(map(abs, (a, b, c, d, 1.0))):
                return name
    return None


def lower_factor(factor: np.ndarray) -> np.ndarray:
    """The lower triangular factor of L Lᵀ with a positive diagonal, for any L.

    >>> lower_factor(np.array([[0.0, 2.0], [3.0, 0.0]])).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    R = np.linalg.qr(factor.T, mode="r")
    signs = np.where(np.diagonal(R) < 0, -1.0, 1.0)
    return (R * signs[:, None]).T + 0.0


def _part(shapes: Mapping[str, tuple[int, ...]], mean: np.ndarray, factor: np.ndarray) -> Part:
    factor = lower_factor(factor)
    deviation = np.sqrt(np.sum(factor**2, axis=1))
    means, deviations = unflattened(mean, shapes), unflattened(deviation, shapes)
    marginals = {name: Member(Normal(means[name], deviations[name])) for name in shapes}
    log_height = -0.5 * len(mean) * np.log(2.0 * np.pi) - np.sum(np.log(np.diagonal(factor)))

    def draw(key: Array, n: int) -> dict[str, Any]:
        noise = np.asarray(jax.random.normal(key, (n, len(mean))), np.float64)
        return unflattened(mean + noise @ factor.T, shapes)

    def at(u: np.ndarray) -> dict[str, Any]:
        return unflattened(mean + scipy.special.ndtri(u) @ factor.T, shapes)

    def log_density(latents: Latents) -> Array:
        away = jax.scipy.linalg.solve_triangular(factor, flattened(latents, shapes) - mean, lower=True)
        return log_height - 0.5 * jnp.sum(away**2)

    how = {name: _described([other for other in shapes if other != name]) for name in shapes}
    return Part(shapes, marginals, draw, log_density, means, how, NormalPart(mean, factor), (len(mean), at))


def _described(others: Sequence[str]) -> str:
    return f"normal, jointly with {named(others)}" if others else "normal"
