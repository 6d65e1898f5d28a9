"""The conjugate prior of any exponential family of one or two natural parameters, by quadrature.

    p(η) = exp(⟨η, τ⟩ − ν A(η)) / Z(τ, ν)        with respect to dη

With d the member of the family at which E[T] = τ/ν, the exponent is that at d less ν·KL(d‖q): the belief falls off from d as fast
as ν observations with its statistics would tell. That form is what is integrated, so that nothing is lost where ν is large.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient
from jax.typing import ArrayLike

from surprax.beliefs.coordinates import Coordinates
from surprax.evidence import Evidence
from surprax.families.batches import Wide, align
from surprax.families.exponential import ExponentialFamily
from surprax.families.fitting import check_known
from surprax.numerics.peaks import Grid, draw_on_grid, grid_on_line, grid_on_plane, log_total, settled
from surprax.numerics.precision import float64_scope, in_float64, is_traced

__all__ = ["ConjugatePrior", "member_grid"]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class ConjugatePrior:
    """Belief about all parameters of an exponential family: density ∝ exp(⟨η, τ⟩ − ν A(η)) with respect to dη.

    It is what ν observations with the statistics τ leave of a level density in the natural parameters η. Any family of one or two
    natural parameters has it, whether or not the belief has a name; where it has (Gamma for Poisson, Beta for Bernoulli,
    NormalInverseGamma for Normal), this is that one. `prior + evidence`, `posterior − evidence`, `prior * factor`,
    `sx.log_evidence`, `sx.predictive` work as for the named ones. Where the natural parameters fill an open set, E[∇A(η)] = τ/ν:
    the mean of the mean of T is that of the statistics. (For InverseGaussian they do not: its loc may be infinite.)

    Integrals are sums over a grid that follows the ridge of the density (`surprax.numerics.peaks`), in float64 whatever JAX's
    default precision; where half of the grid disagrees with the whole, an error says so.

    Args:
        family: an exponential family of one or two natural parameters.
        statistics: τ, the sum of T over ν observations, shape batch + (dimension,).
        count: ν, positive, shape batch.
        known: known parameters, by name, for families that need them.

    Raises:
        ValueError: where the density cannot be normalised: ν must be positive, and τ/ν a mean that T has under a member of the
            family. Traced ones give NaN.

    Source: Diaconis & Ylvisaker (1979), Annals of Statistics 7, 269, theorems 1 and 2.

    >>> import surprax as sx
    >>> prior = ConjugatePrior.from_member(sx.Gamma(2.0, 1.0), count=3.0)
    >>> posterior = prior + sx.Gamma.evidence([2.0, 3.5, 0.7, 1.2])
    >>> print(posterior.count, (posterior - sx.Gamma.evidence([0.7, 2.0])).count)
    7.0 5.0
    >>> named = sx.log_evidence(sx.Gamma(6.0, 3.0), sx.Poisson.evidence([1, 4]))
    >>> ours = sx.log_evidence(ConjugatePrior(sx.Poisson, [6.0], 3.0), sx.Poisson.evidence([1, 4]))
    >>> print(abs(named - ours) < 1e-12)
    True
    """

    family: Any
    statistics: Any
    count: Any
    known: dict[str, Any] = field(default_factory=dict)

    __array_ufunc__ = None

    def __init__(self, family: type[ExponentialFamily], statistics: ArrayLike, count: ArrayLike, **known: Any) -> None:
        _check_family(family)
        known = check_known(family, known)
        _check_known(family, known)
        if not is_traced(statistics):
            statistics = np.asarray(statistics, np.float64)
        if not is_traced(count):
            count = np.asarray(count, np.float64)
        if np.ndim(statistics) == 0 or np.shape(statistics)[-1] != family.dimension:
            raise ValueError(
                f"ConjugatePrior: statistics of {family.__name__} are {family.dimension} numbers on the last axis; got an array of"
                f" shape {np.shape(statistics)}."
            )
        self._set(family, statistics, count, known)
        _check_proper(self)

    def _set(self, family: Any, statistics: Any, count: Any, known: Any) -> None:
        for name, value in (("family", family), ("statistics", statistics), ("count", count), ("known", known)):
            object.__setattr__(self, name, value)

    @classmethod
    def _of(cls, family: Any, statistics: Any, count: Any, known: Any) -> Self:
        prior = object.__new__(cls)
        prior._set(family, statistics, count, known)
        return prior

    @classmethod
    def from_member(cls, distribution: ExponentialFamily, count: ArrayLike) -> Self:
        """The belief that is centred on a distribution, with the weight of `count` observations: τ = count · E[T].

        >>> import surprax as sx
        >>> ConjugatePrior.from_member(sx.Poisson(2.0), count=3.0).statistics.tolist()
        [6.0]
        """
        if not isinstance(distribution, ExponentialFamily):
            raise TypeError(
                f"ConjugatePrior is centred on a member of an exponential family; got {type(distribution).__name__}."
            )
        _check_family(type(distribution))
        mean = _expectation(distribution)
        weight: Any = count if is_traced(count) else np.asarray(count, np.float64)
        return cls(type(distribution), mean * weight[..., None], weight, **distribution._known())

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() for one belief."""
        known = (np.shape(v) for v in self.known.values())
        return np.broadcast_shapes(np.shape(self.statistics)[:-1], np.shape(self.count), *known)

    @property
    def expectation(self) -> Any:
        """τ/ν = E[T] at the centre; over the belief it is the mean of the mean of T too, E[∇A(η)] (Diaconis & Ylvisaker 1979).

        Shape batch + (dimension,).
        """
        statistics, count = self.statistics, self.count
        if is_traced(statistics, count):
            statistics, count = align(Wide(statistics, 1), count)
        return statistics / count[..., None]

    @property
    def centre(self) -> Any:
        """The member of the family with E[T] = τ/ν, where exp(⟨η, τ⟩ − ν A(η)) is greatest."""
        return _centre(self)

    def __repr__(self) -> str:
        if is_traced(self.statistics, self.count):
            return f"ConjugatePrior({self.family.__name__}, traced)"
        known = "".join(f", {name}={np.asarray(value).tolist()}" for name, value in self.known.items())
        told = np.array2string(np.asarray(self.statistics), precision=6, separator=", ", threshold=6)
        return f"ConjugatePrior({self.family.__name__}, statistics={told}, count={np.asarray(self.count)}{known})"

    # Beliefs add.

    def __add__(self, evidence: Any) -> "ConjugatePrior":
        if isinstance(evidence, int) and evidence == 0:  # sum() starts from it
            return self
        return self._moved(evidence, 1.0, "+")

    __radd__ = __add__

    def __sub__(self, evidence: Any) -> "ConjugatePrior":
        return self._moved(evidence, -1.0, "-")

    def __mul__(self, factor: Any) -> "ConjugatePrior":
        """The belief tempered: density to the power `factor`, normalised."""
        factor = factor if is_traced(factor) else np.asarray(factor, np.float64)
        moved = self._of(self.family, self.statistics * factor[..., None], self.count * factor, self.known)
        _check_proper(moved)
        return moved

    __rmul__ = __mul__

    def _moved(self, evidence: Any, sign: float, symbol: str) -> "ConjugatePrior":
        if not isinstance(evidence, Evidence):
            raise TypeError(
                f"ConjugatePrior {symbol} … takes evidence; got {type(evidence).__name__}. Make it with"
                f" {self.family.__name__}.evidence(x)."
            )
        if evidence.family is not self.family:
            raise ValueError(
                f"A ConjugatePrior about {self.family.__name__} takes evidence of that family; got evidence of"
                f" {evidence.family.__name__}."
            )
        _check_known(self.family, evidence.known)
        if not is_traced(self, evidence):
            for name, value in self.known.items():
                if not np.all(np.asarray(value) == np.asarray(evidence.known[name])):
                    raise ValueError(
                        f"Belief and evidence must know the same {name}; got {np.asarray(value)} and"
                        f" {np.asarray(evidence.known[name])}."
                    )
        moved = _move(self, evidence._replace(labels=None), sign)
        _check_proper(moved, " Subtract only what was added before." if sign < 0 else "")
        return moved

    # Density.

    def log_prob(self, distribution: Any) -> Any:
        """Log-density at a member of the family, in nats, with respect to its natural parameters. Shape: batches broadcast."""
        if type(distribution) is not self.family:
            raise TypeError(
                f"A ConjugatePrior about {self.family.__name__} has densities at its members; got {type(distribution).__name__}."
            )
        below, _ = self._settled(functools.partial(_log_integral, self))
        return _log_prob(self, distribution, below)

    @property
    def log_normalizer(self) -> Any:
        """log Z(τ, ν) = log ∫ exp(⟨η, τ⟩ − ν A(η)) dη, in nats, shape batch."""
        below, height = self._settled(functools.partial(_log_integral, self))
        return below + height

    def expected(self, function: Callable[[Any], Any]) -> Any:
        """E of a function of the member of the family, by quadrature: of its parameters, moments, probabilities.

        The function sees a batch of members along one axis, and gives an array with that axis first. Not of batches.

        >>> import surprax as sx
        >>> belief = ConjugatePrior.from_member(sx.Gamma(2.0, 0.5), count=8.0)
        >>> belief.expected(lambda d: d.mean).round(6).item()  # E[∇A] is the mean at the centre
        4.0
        """
        self._refuse_batch("expected")
        members, log_weights, _ = self._settled(functools.partial(member_grid, self))
        if is_traced(members):
            return _weighted(function, members, log_weights)
        with float64_scope():
            return np.asarray(_weighted(function, jax.tree.map(jnp.asarray, members), jnp.asarray(log_weights)))

    def sample(self, key: Array, shape: tuple[int, ...] = ()) -> Any:
        """Members of the family, of batch shape `shape`, by inverting the distribution function on the grid.

        Densities are taken as straight between the points, which are a twelfth of a width apart. Not of batches.
        """
        self._refuse_batch("sample")
        *_, grid = self._settled(functools.partial(member_grid, self))
        return _sample(self, grid, key, shape)

    # What `surprax.log_evidence` and `surprax.predictive` ask.

    def _log_evidence_of(self, evidence: Evidence) -> Any:
        posterior = self + evidence
        base = evidence.log_base if hasattr(evidence, "log_base") else 0.0
        return posterior.log_normalizer - self.log_normalizer + base

    def _predictive_of(self, family: Any, known: dict[str, Any]) -> Any:
        from surprax.beliefs.conjugate_predictive import ConjugatePredictive

        if family is not self.family:
            raise ValueError(
                f"A ConjugatePrior about {self.family.__name__} predicts observations of that family, not of {family.__name__}."
            )
        if known and set(known) != set(self.known):
            raise ValueError(f"{self!r} already says what is known.")
        self._refuse_batch("predictive")
        members, log_weights, _ = self._settled(functools.partial(member_grid, self))
        return ConjugatePredictive(members, log_weights)

    def _refuse_batch(self, what: str) -> None:
        if self.batch_shape:
            raise ValueError(f"ConjugatePrior: {what} is of a single belief; this is a batch of {self.batch_shape}.")

    def _settled(self, integral: Callable[..., Any]) -> Any:
        """The value of integral(refined) = (value, (whether it may be trusted, disagreement)), refined once where it takes that."""
        value, (good, difference) = integral(refined=1)
        if is_traced(good):
            return jax.tree.map(
                lambda v: jnp.where(good.reshape(good.shape + (1,) * (v.ndim - good.ndim)), v, jnp.nan), value
            )
        if not np.all(good):
            value, (good, difference) = integral(refined=2)
        if not np.all(good):
            worst = np.max(np.where(np.isnan(difference), np.inf, difference))
            raise ValueError(
                f"The integral of a ConjugatePrior must settle on its grid; that of {self!r} does not (half of the grid disagrees"
                f" by {worst:.2g} nats, or mass lies at its end). A greater count, or statistics further inside of what the family"
                " can have, make it settle."
            )
        return value


jax.tree_util.register_pytree_node(
    ConjugatePrior,
    lambda prior: ((prior.statistics, prior.count, prior.known), prior.family),
    lambda family, leaves: ConjugatePrior._of(family, *leaves),
)


# Checks.


def _check_family(family: Any) -> None:
    if not (isinstance(family, type) and issubclass(family, ExponentialFamily)):
        raise TypeError(f"ConjugatePrior is about an exponential family; got {family!r}.")
    if family.event_dim or family.dimension not in (1, 2):
        found = "as many as an observation has" if family.dimension is None else str(family.dimension)
        raise ValueError(
            f"ConjugatePrior is about a family of one or two natural parameters, which it integrates over; {family.__name__} has"
            f" {found}. surprax.conjugates({family.__name__}) lists its named pairs, if there are any."
        )


def _check_known(family: Any, known: Any) -> None:
    needed, found = set(family.known_parameters), set(known)
    if needed != found:
        raise ValueError(
            f"A ConjugatePrior about {family.__name__} is told {' and '.join(sorted(needed)) or 'no known parameter'}; got"
            f" {' and '.join(sorted(found)) or 'none'}."
        )


def _check_proper(prior: ConjugatePrior, hint: str = "") -> None:
    if is_traced(prior):
        return
    count = np.asarray(prior.count)
    if not np.all((count > 0) & (count < np.inf)):
        raise ValueError(f"ConjugatePrior: count must be positive and finite; got {np.min(count):g}.{hint}")
    with np.errstate(all="ignore"):
        _, outcome = prior.family.try_from_expectation(prior.expectation, **prior.known)
    if not np.all(outcome.ok):
        bad = np.broadcast_to(~outcome.ok, prior.batch_shape)
        first = tuple(np.argwhere(bad)[0]) if bad.ndim else ()
        mean = np.broadcast_to(prior.expectation, (*prior.batch_shape, prior.family.dimension))[first].tolist()
        raise ValueError(
            f"ConjugatePrior: statistics/count must be a mean that statistics of {prior.family.__name__} can have; got {mean}"
            f"{f' at index {first}' if first else ''}.{hint} Those of"
            f" ConjugatePrior.from_member({prior.family.__name__}(...), count) are always in order."
        )


# Numerics: of one belief; batches by vmap.


@in_float64
def _expectation(d: Any) -> Any:
    return d.expectation


@in_float64
def _move(prior: ConjugatePrior, evidence: Any, sign: Any) -> ConjugatePrior:
    statistics = evidence.family._mean_statistics(evidence)
    moved = sign * evidence.count
    added = jnp.where(evidence.count[..., None] > 0, moved[..., None] * statistics, 0.0)
    old, added, count, moved = align(Wide(prior.statistics, 1), Wide(added, 1), prior.count, moved)
    return ConjugatePrior._of(prior.family, old + added, count + moved, prior.known)


@in_float64
def _centre(prior: ConjugatePrior) -> Any:
    return _member_at(prior)


def _member_at(prior: ConjugatePrior) -> Any:
    mean, *values = align(Wide(prior.expectation, 1), *prior.known.values())
    known = dict(zip(prior.known, values))
    return prior.family._from_expectation(tuple(mean[..., i] for i in range(prior.family.dimension)), known)


def _log_height(prior: ConjugatePrior, centre: Any, q: Any) -> Array:
    """⟨η, τ⟩ − ν A(η) at q less that at the centre: −ν·KL. Its slope in τ and ν is that of the difference, at fixed q."""
    count, statistics = prior.count, prior.statistics
    base = stop_gradient(-count * centre._kl(q))
    own, other = (jnp.stack(jnp.broadcast_arrays(*d._natural()), axis=0) for d in (centre, q))
    rise = other - own.reshape(own.shape + (1,) * (other.ndim - own.ndim))
    level = q._log_normalizer() - centre._log_normalizer()
    rise, level = (stop_gradient(jnp.where(jnp.isfinite(v), v, 0.0)) for v in (rise, level))
    moved, more = statistics - stop_gradient(statistics), count - stop_gradient(count)
    return base + jnp.tensordot(moved, rise, axes=1) - more * level


def _grid(prior: ConjugatePrior, refined: int) -> tuple[Any, Any, Coordinates, Grid]:
    """The centre, its log height, and the grid of one belief, in coordinates in which every parameter is a real number."""
    centre = jax.tree.map(stop_gradient, _member_at(prior))
    known = jax.tree.map(stop_gradient, prior.known)
    coordinates = Coordinates(prior.family)
    start = coordinates.of(centre)

    def log_f(*place: Array) -> Array:
        q, log_volume = coordinates.member_and_volume(place, known)
        return _log_height(prior, centre, q) + stop_gradient(log_volume)

    slopes = coordinates.jacobian(start, known)
    information = jnp.stack([jnp.stack(row) for row in _scalars(centre._fisher_information())])
    precision = stop_gradient(prior.count) * slopes.T @ information @ slopes
    if prior.family.dimension == 1:
        grid = grid_on_line(log_f, start[0], 1.0 / jnp.sqrt(precision[0, 0]), refined)
    else:
        grid = grid_on_plane(log_f, jnp.stack(start), precision, refined)
    own = stop_gradient(prior.count * centre._fitted_log_likelihood())
    moved, more = prior.statistics - stop_gradient(prior.statistics), prior.count - stop_gradient(prior.count)
    natural = jnp.stack([jnp.asarray(c) for c in centre._natural()])
    return centre, own + moved @ natural - more * centre._log_normalizer(), coordinates, grid


def _scalars(rows: Any) -> Any:
    return tuple(tuple(jnp.asarray(v) * 1.0 for v in row) for row in rows)


def _each(function: Callable[..., Any], prior: ConjugatePrior) -> Any:
    """function(belief) of every belief of a batch."""
    shape = prior.batch_shape

    def lone(v: Any, event: int) -> Array:
        last = np.shape(v)[np.ndim(v) - event :]
        return jnp.broadcast_to(v, shape + last).reshape((-1, *last))

    flat = ConjugatePrior._of(
        prior.family, lone(prior.statistics, 1), lone(prior.count, 0), {k: lone(v, 0) for k, v in prior.known.items()}
    )
    return jax.tree.map(lambda v: v.reshape(shape + v.shape[1:]), jax.vmap(function)(flat))


@functools.partial(in_float64, static_argnames=("refined",))
def _log_integral(prior: ConjugatePrior, refined: int) -> Any:
    """log ∫ exp(−ν KL(centre‖q)) dη, and the exponent at the centre, whose sum is log Z."""

    def one(prior: ConjugatePrior) -> Any:
        _, height, _, grid = _grid(prior, refined)
        return (log_total(grid), height), settled(grid)

    return _each(one, prior)


@in_float64
def _log_prob(prior: ConjugatePrior, q: Any, below: Any) -> Any:
    divergence, count, below = align(_member_at(prior).kl(q), prior.count, below)
    return -count * divergence - below


def _weighted(function: Callable[[Any], Any], members: Any, log_weights: Any) -> Any:
    values = jnp.asarray(function(members))
    weights = jnp.exp(log_weights).reshape((-1,) + (1,) * (values.ndim - 1))
    # Members of next to no weight are so far out that their values may overflow.
    return jnp.sum(weights * jnp.where(weights > 1e-35, values, 0.0), axis=0)


@functools.partial(in_float64, static_argnames=("refined",))
def member_grid(prior: ConjugatePrior, refined: int) -> Any:
    """(Members along one axis, the logarithms of their weights, which sum to 1, and the grid), and whether that has settled."""
    centre, _, coordinates, grid = _grid(prior, refined)
    some = grid.log_mass > -jnp.inf
    place = [jnp.where(some, p, c).ravel() for p, c in zip(grid.points, coordinates.of(centre), strict=True)]
    members = coordinates.member(place, {k: jnp.broadcast_to(v, place[0].shape) for k, v in prior.known.items()})
    return (members, (grid.log_mass - log_total(grid)).ravel(), grid), settled(grid)


@functools.partial(in_float64, static_argnames=("shape",))
def _sample(prior: ConjugatePrior, grid: Grid, key: Array, shape: tuple[int, ...]) -> Any:
    return Coordinates(prior.family).member(draw_on_grid(key, grid, shape), prior.known)
