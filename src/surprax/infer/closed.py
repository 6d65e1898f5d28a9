"""Posteriors in closed form: what is known of each site without a single draw, and how to draw all of them together.

A posterior in closed form is a `ClosedForm`: for each site a `Marginal`, which has `mean()`, `sd()` and `quantile(q)`, and a
function `draw(key, n)` that draws all sites jointly. Solvers put one together from these parts:

    ClosedForm.independent(theta=Beta(5.0, 3.0), rate=Gamma(2.0, 3.0))           sites that are independent
    ClosedForm.gaussian(MultivariateNormal(m, S), {"a": (), "b": (3,)})           sites that are jointly normal
    ClosedForm.product(form, other)                                               parts that are independent of each other
    form.with_image("sigma", "variance", jnp.sqrt)                                a site that is a function of another
    ClosedForm({"mu": Member(StudentT(...)), "variance": Member(InverseGamma(...))}, draw)       anything else

Numbers are float64.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array

from surprax.families.base import Distribution
from surprax.families.beta import Beta
from surprax.families.dirichlet import Dirichlet
from surprax.families.multivariate_normal import MultivariateNormal
from surprax.families.multivariate_student_t import MultivariateStudentT
from surprax.families.normal import Normal
from surprax.families.student_t import StudentT
from surprax.infer.scopes import computing

__all__ = ["ClosedForm", "Image", "Marginal", "Member"]

type Draw = Callable[[Array, int], Mapping[str, Any]]


class Marginal(Protocol):
    """What is known in closed form of one site; arrays in the shape of the site."""

    def mean(self) -> np.ndarray:
        """The mean; inf or NaN where there is none."""

    def sd(self) -> np.ndarray:
        """The standard deviation; inf or NaN where there is none."""

    def quantile(self, q: np.ndarray) -> np.ndarray:
        """Quantiles of each element: the shape of q, and then that of the site."""


@dataclass(frozen=True)
class Member:
    """A site whose values have one of our distributions, or (a batch) several independent ones.

    Quantiles are those of each element: a component of a Dirichlet vector is Beta, one of a normal vector is normal.
    """

    distribution: Distribution

    def mean(self) -> np.ndarray:
        return self._moment("mean")

    def sd(self) -> np.ndarray:
        return np.sqrt(self._moment("variance"))

    def quantile(self, q: np.ndarray) -> np.ndarray:
        q = np.asarray(q, np.float64)
        # By lengths that are powers of two, so that few programs are compiled.
        padded = np.full(max(8, 1 << max(0, q.size - 1).bit_length()), 0.5)
        padded[: q.size] = q.reshape(-1)
        with computing(True):
            elements = _elementwise(self.distribution)
            shape = elements.batch_shape
            found = np.asarray(elements.icdf(padded.reshape((-1,) + (1,) * len(shape))), np.float64) * np.ones(shape)
        return found[: q.size].reshape(q.shape + shape)

    def _moment(self, name: str) -> np.ndarray:
        d = self.distribution
        with computing(True):
            return np.broadcast_to(np.asarray(getattr(d, name), np.float64), d.batch_shape + d.event_shape)


def _elementwise(d: Any) -> Any:
    if not d.event_dim:
        return d
    if isinstance(d, Dirichlet):
        a = np.asarray(d.concentration, np.float64)
        return Beta(a, a.sum(axis=-1, keepdims=True) - a)
    if isinstance(d, MultivariateStudentT):
        scale = np.sqrt(np.sum(np.asarray(d.scale_tril, np.float64) ** 2, axis=-1))
        return StudentT(np.asarray(d.df, np.float64)[..., None], np.asarray(d.loc, np.float64), scale)
    if type(d).__name__.startswith("MultivariateNormal"):
        return Normal(np.asarray(d.mean, np.float64), np.sqrt(np.asarray(d.variance, np.float64)))
    raise ValueError(
        f"Quantiles of single components are not known for {type(d).__name__}; ask for draws: post.sample(key, n)."
    )


@dataclass(frozen=True)
class Image:
    """A site that is a monotone function of another: σ = √variance.

    Attributes:
        base: the other site.
        function: elementwise, of arrays.
        increasing: whether it is; else it is decreasing.
        known_mean, known_sd: where there are formulas for them; None to integrate over the quantiles of the base.
    """

    base: Marginal
    function: Callable[[Any], Any]
    increasing: bool = True
    known_mean: Any = None
    known_sd: Any = None

    def mean(self) -> np.ndarray:
        if self.known_mean is not None:
            return np.asarray(self.known_mean, np.float64)
        values, weights = self._nodes()
        return _integral(values, weights)

    def sd(self) -> np.ndarray:
        if self.known_sd is not None:
            return np.asarray(self.known_sd, np.float64)
        values, weights = self._nodes()
        return np.sqrt(_integral((values - _integral(values, weights)) ** 2, weights))

    def quantile(self, q: np.ndarray) -> np.ndarray:
        q = np.asarray(q, np.float64)
        return self._of(self.base.quantile(q if self.increasing else 1.0 - q))

    def _of(self, x: np.ndarray) -> np.ndarray:
        with computing(True):
            return np.asarray(self.function(jnp.asarray(x, jnp.float64)), np.float64)

    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Values at the quantiles Φ(t), and φ(t) dt: the trapezoidal rule in t converges geometrically."""
        t = np.linspace(-8.0, 8.0, 321)
        weights = np.exp(-0.5 * t**2) / np.sqrt(2.0 * np.pi) * (t[1] - t[0])
        return self._of(self.base.quantile(scipy.special.ndtr(t))), weights


def _integral(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    terms = values * weights.reshape(-1, *[1] * (values.ndim - 1))
    # Where the last of the terms still matter the integral has no end: better infinite than a number that depends on the nodes.
    ends = np.abs(terms[0]) + np.abs(terms[-1])
    return np.where(ends > 1e-9 * np.sum(np.abs(terms), axis=0), np.inf, np.sum(terms, axis=0))


@dataclass(frozen=True)
class ClosedForm:
    """A posterior in closed form.

    Attributes:
        marginals: what is known of each site, by name, in the order in which to show them.
        draw: `draw(key, n)` gives joint draws of all of them: arrays (n, …) by name.
    """

    marginals: Mapping[str, Marginal]
    draw: Draw

    @classmethod
    def independent(cls, **sites: Distribution) -> "ClosedForm":
        """Sites that are independent, each with its distribution.

        >>> form = ClosedForm.independent(theta=Beta(5.0, 3.0))
        >>> form.mean("theta").item(), form.quantile("theta", 0.5).round(4).item()
        (0.625, 0.6359)
        """

        def draw(key: Array, n: int) -> dict[str, Any]:
            keys = jax.random.split(key, len(sites))
            return {name: d.sample(keys[i], (n,)) for i, (name, d) in enumerate(sites.items())}

        return cls({name: Member(d) for name, d in sites.items()}, draw)

    @classmethod
    def gaussian(cls, joint: MultivariateNormal, shapes: Mapping[str, tuple[int, ...]]) -> "ClosedForm":
        """Sites that are jointly normal: one after the other in the vector, each of its shape.

        >>> form = ClosedForm.gaussian(MultivariateNormal([0.0, 1.0], [[1.0, 0.5], [0.5, 4.0]]), {"a": (), "b": (1,)})
        >>> form.mean("b").tolist(), form.sd("b").tolist()
        ([1.0], [2.0])
        """
        ends = np.cumsum([int(np.prod(shape, dtype=int)) for shape in shapes.values()])
        loc, deviation = Member(joint).mean(), Member(joint).sd()
        marginals = {
            name: Member(Normal(m.reshape(shape), s.reshape(shape)))
            for (name, shape), m, s in zip(shapes.items(), np.split(loc, ends[:-1]), np.split(deviation, ends[:-1]))
        }

        def draw(key: Array, n: int) -> dict[str, Any]:
            whole = np.asarray(joint.sample(key, (n,)))
            return {
                name: part.reshape(n, *shapes[name]) for name, part in zip(shapes, np.split(whole, ends[:-1], axis=1))
            }

        return cls(marginals, draw)

    @classmethod
    def product(cls, *forms: "ClosedForm") -> "ClosedForm":
        """Forms that are independent of each other, as one."""

        def draw(key: Array, n: int) -> dict[str, Any]:
            keys = jax.random.split(key, len(forms))
            return {name: value for i, form in enumerate(forms) for name, value in form.draw(keys[i], n).items()}

        return cls({name: marginal for form in forms for name, marginal in form.marginals.items()}, draw)

    def with_image(
        self,
        name: str,
        of: str,
        function: Callable[[Any], Any],
        *,
        increasing: bool = True,
        mean: Any = None,
        sd: Any = None,
    ) -> "ClosedForm":
        """The same with one more site: a monotone, elementwise function of a site that there is."""
        image = Image(self.marginals[of], function, increasing, mean, sd)

        def draw(key: Array, n: int) -> dict[str, Any]:
            drawn = dict(self.draw(key, n))
            return {**drawn, name: image._of(np.asarray(drawn[of]))}

        return ClosedForm({**self.marginals, name: image}, draw)

    # What every form of a posterior has.

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.marginals)

    def mean(self, name: str) -> np.ndarray:
        return np.asarray(self.marginals[name].mean(), np.float64)

    def sd(self, name: str) -> np.ndarray:
        return np.asarray(self.marginals[name].sd(), np.float64)

    def quantile(self, name: str, q: Any) -> np.ndarray:
        return np.asarray(self.marginals[name].quantile(np.asarray(q, np.float64)), np.float64)

    def sample(self, key: Array, n: int) -> dict[str, np.ndarray]:
        """n joint draws, in float64."""
        with computing(True):
            return {name: np.asarray(value) for name, value in self.draw(key, n).items()}
