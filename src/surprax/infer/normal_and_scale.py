"""Latent sites that are normal given a variance (or precision) that scales all of them, and that has a conjugate prior.

    log p(β, data | u) = c + ½ Σ_j p_j log u_j − ½ Σ_j u_j R_j(β),    R_j quadratic,    u = 1/variance, or the precision,

where each number of β occurs in one R_j only. Then β given u is normal, with its precision in the unit u_j, and u_j is Gamma:

    β | u, data ~ N(m, (D H D)⁻¹),  D = diag √u_j;    u_j | data ~ Gamma(a_j + (p_j − d_j)/2, b_j + R_j(m)/2)

with m and H the mean and curvature at u = 1 and d_j how many numbers of β belong to u_j. Mean and variance of normal data
(normal-inverse-gamma), group means with a common variance, and linear regression with an unknown variance are of this form.
Source: Gelman et al. (2013), Bayesian Data Analysis, sections 3.3 and 14.2; O'Hagan (1994), section 9.

The terms are read off derivatives at a point; that the density has this form everywhere is for the caller to check.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array

from surprax.families.gamma import Gamma
from surprax.families.inverse_gamma import InverseGamma
from surprax.families.student_t import StudentT
from surprax.infer.anatomy import Anatomy, Component, Latents, named
from surprax.infer.closed import Member
from surprax.infer.conjugate_sites import prior_belief
from surprax.infer.joint_normal import TOLERANCE, Quadratic, lower_factor, not_quadratic
from surprax.infer.parts import Part, flattened, unflattened
from surprax.infer.programs import Hoisted
from surprax.infer.transports import tabled
from surprax.numerics.compilation import kept

__all__ = ["normal_and_scale_part"]


def normal_and_scale_part(anatomy: Anatomy, component: Component, scale: str) -> Part | str:
    """The posterior of a component of real sites and one site `scale` of variances or precisions, or why it has none here."""
    belief = prior_belief(anatomy, scale)
    if isinstance(belief, str):
        return belief
    if not isinstance(belief, Gamma | InverseGamma):
        return f"the prior of {scale!r} is neither Gamma nor InverseGamma"
    trouble = not_quadratic(anatomy, component)
    if trouble is not None:
        return trouble
    real = {name: anatomy.shape(name) for name in component.latents if name != scale}
    names = (*real, *component.others)
    shape, inverse = anatomy.shape(scale), isinstance(belief, InverseGamma)

    def energy(z: Any, u: Any) -> Any:
        value = (1.0 / u if inverse else u).reshape(shape)
        latents = {**unflattened(z, real), scale: value}
        return -sum(anatomy.log_density(name, latents) for name in names)

    size = sum(int(np.prod(s, dtype=np.int64)) for s in real.values())
    solved = _Solver(energy, size, belief.batch_shape[0]).solved()
    if isinstance(solved, str):
        return f"{_loose(anatomy, real, scale)}{solved}"
    return _part(real, scale, shape, belief, solved)


def _loose(anatomy: Anatomy, real: Mapping[str, Any], scale: str) -> str:
    """The usual reason why there is no closed form: a prior whose width does not go with the scale."""
    loose = [name for name in real if scale not in anatomy.parents[name]]
    return f"the width of the prior of {named(loose)} does not go with {scale!r}; " if loose else ""


@dataclass(frozen=True)
class _Found:
    """What is read off the energy.

    Attributes:
        mean, factor: m, and L with H⁻¹ = L Lᵀ.
        owner: for each number of β, the number j of its u.
        powers, rest: p_j and R_j(m).
    """

    mean: np.ndarray
    factor: np.ndarray
    owner: np.ndarray
    powers: np.ndarray
    rest: np.ndarray


class _Solver:
    def __init__(self, energy: Any, size: int, scales: int) -> None:
        self.size, self.scales = size, scales
        self.quadratic = Quadratic(energy, size, jnp.ones(scales))
        hoisted = Hoisted(energy, jnp.zeros(size), jnp.ones(scales))
        pure = hoisted.pure

        def build() -> Any:
            def of_u(constants: Any, z: Any, u: Any) -> tuple[Any, Any]:
                return jax.jvp(lambda u: jax.grad(pure, argnums=2)(constants, z, u), (u,), (jnp.ones_like(u),))

            return jax.jit(of_u)

        self._constants, self._of_u = hoisted.constants, kept(("of scales", hoisted.fingerprint), build)

    def of_u(self, z: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """∂U/∂u, and the sums of the rows of ∂²U/∂u²: its diagonal, where each u has terms of its own."""
        first, second = self._of_u(self._constants, z, u)
        return np.asarray(first), np.asarray(second)

    def solved(self) -> _Found | str:
        u = np.ones(self.scales)
        found = self._at(u)
        if isinstance(found, _Found):
            # Once more where the posterior is, so that R is no difference of numbers much greater than itself.
            found = self._at(np.where(found.rest > 0, found.powers / np.where(found.rest > 0, found.rest, 1.0), 1.0))
        return found

    def _at(self, u: np.ndarray) -> _Found | str:
        solved = self.quadratic.solved(u)
        if isinstance(solved, str):
            return solved
        mean, factor = solved
        owner = self._owners(mean, u)
        if isinstance(owner, str):
            return owner
        first, second = self.of_u(mean, u)
        powers = 2.0 * u**2 * second
        rest = 2.0 * first + powers / u
        factor = np.sqrt(u[owner])[:, None] * factor
        return _Found(mean, factor, owner, powers, np.maximum(rest, 0.0))

    def _owners(self, mean: np.ndarray, u: np.ndarray) -> np.ndarray | str:
        """Which u each number of β goes with: the one by which its curvature grows."""
        apart = u * np.exp(np.linspace(-1.0, 1.0, self.scales)) if self.scales > 1 else 2.0 * u
        before, after = self.quadratic.curvature(mean, u), self.quadratic.curvature(mean, apart)
        growth = np.log(np.diagonal(after) / np.diagonal(before))
        own = np.log(apart / u)
        owner = np.argmin(np.abs(growth[:, None] - own), axis=1)
        unit = np.exp(0.5 * own[owner])
        size = np.sqrt(np.diagonal(after))
        off = after - unit[:, None] * before * unit
        if not np.all(np.abs(off) <= TOLERANCE * size[:, None] * size):
            return "its variance is not one of the scales times a known number"
        if np.any((owner[:, None] != owner) & (np.abs(after) > TOLERANCE * size[:, None] * size)):
            return "it mixes several scales"
        return owner


def _part(
    real: Mapping[str, tuple[int, ...]], scale: str, shape: tuple[int, ...], belief: Any, found: _Found
) -> Part | str:
    own = np.bincount(found.owner, minlength=len(found.powers))
    a = np.asarray(belief.concentration) + 0.5 * (found.powers - own)
    b = np.asarray(belief.rate) + 0.5 * found.rest
    if not (np.all(np.isfinite(a)) and np.all(np.isfinite(b)) and np.all(a > 0) and np.all(b > 0)):
        return f"the posterior of {scale!r} is not a distribution"
    family, inverse = type(belief), isinstance(belief, InverseGamma)
    posterior: Any = family._of(concentration=a.reshape(shape), rate=b.reshape(shape))
    mean, factor, owner = found.mean, lower_factor(found.factor), found.owner
    deviation = np.sqrt(np.sum(factor**2, axis=1))
    df, width = unflattened(2.0 * a[owner], real), unflattened(deviation * np.sqrt((b / a)[owner]), real)
    means = unflattened(mean, real)
    marginals = {name: Member(StudentT(df[name], means[name], width[name])) for name in real}
    marginals[scale] = Member(posterior)

    log_height = -0.5 * len(mean) * np.log(2.0 * np.pi) - np.sum(np.log(np.diagonal(factor)))

    def unit(values: Any) -> Any:
        """√u at each number of β."""
        u = jnp.asarray(values)
        u = u.reshape((*u.shape[: u.ndim - len(shape)], -1))
        return jnp.sqrt(1.0 / u if inverse else u)[..., owner]

    def draw(key: Array, n: int) -> dict[str, Any]:
        of_scale, of_noise = jax.random.split(key)
        values = np.asarray(posterior.sample(of_scale, (n,)), np.float64)
        return at_scale(values, np.asarray(jax.random.normal(of_noise, (n, len(mean))), np.float64))

    def at_scale(values: np.ndarray, noise: np.ndarray) -> dict[str, Any]:
        return {**unflattened(mean + (noise @ factor.T) / np.asarray(unit(values)), real), scale: values}

    def at(u: np.ndarray) -> dict[str, Any]:
        values = tabled(Member(posterior).quantile)(u[:, len(mean) :].reshape(len(u), *shape))
        return at_scale(values, scipy.special.ndtri(u[:, : len(mean)]))

    def log_density(latents: Latents) -> Array:
        units = unit(latents[scale])
        away = jax.scipy.linalg.solve_triangular(factor, units * (flattened(latents, real) - mean), lower=True)
        normal = jnp.sum(jnp.log(units)) - 0.5 * jnp.sum(away**2) + log_height
        return normal + jnp.sum(posterior.log_prob(jnp.asarray(latents[scale])))

    center = {**means, scale: (b / (a + 1.0) if inverse else a / b).reshape(shape)}
    word = "variance" if inverse else "precision"
    how = dict.fromkeys(real, f"Student's t: normal given the {word} {scale!r}")
    how[scale] = f"{family.__name__}, conjugate to {named(tuple(real))} and the data"
    transport = len(mean) + len(a), at
    return Part({**real, scale: shape}, marginals, draw, log_density, center, how, transport=transport)
