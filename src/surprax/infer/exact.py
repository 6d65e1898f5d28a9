"""Exact inference: the posterior of a plain NumPyro model in closed form, where there is one.

The model falls into components, which are independent given the data. Each is tried as

    conjugate sites       posterior = prior + evidence (`surprax.infer.conjugate_sites`)
    a joint normal        the energy is quadratic (`surprax.infer.joint_normal`)
    a normal and a scale  normal-inverse-gamma in any dimension (`surprax.infer.normal_and_scale`)

and what is found is proved on the model as it was written: log p(θ, data) − log p(θ | data) must be the same at all θ. It is
log p(data), the log evidence.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.distributions import ImproperUniform
from numpyro.infer.util import log_density

from surprax.families.gamma import Gamma
from surprax.families.inverse_gamma import InverseGamma
from surprax.infer.anatomy import Anatomy, Component, Latents, elementwise_family, named
from surprax.infer.closed import ClosedForm
from surprax.infer.conjugate_sites import conjugate_part, conjugate_trouble, prior_belief
from surprax.infer.derived import with_derived
from surprax.infer.joint_normal import is_real, joint_normal_part, not_quadratic
from surprax.infer.normal_and_scale import normal_and_scale_part
from surprax.infer.parts import Part
from surprax.infer.programs import Hoisted
from surprax.infer.scopes import computing
from surprax.infer.transports import marginal_of, transport
from surprax.interop.shapes import expanded
from surprax.models.compressed import Compressed, rewrite
from surprax.models.detached import detached, views
from surprax.models.planner import prepared
from surprax.models.reading import read
from surprax.numerics.compilation import kept

__all__ = ["Solution", "Unsolved", "solve"]

TOLERANCE = 1e-8
"""Largest relative disagreement of log p(θ, data) − log p(θ | data) between points."""

ALL_ROWS = 10_000_000
"""Up to this many rows the proof reads them all; beyond, it trusts the compressed model and its certificate."""

SHARES = (1e-3, 0.03, 1.0)
"""How far from the middle of the posterior towards points anywhere in the supports it is compared with the model."""

_POINTS = 4


@dataclass(frozen=True)
class Solution:
    """A posterior in closed form.

    Attributes:
        form: the posterior of all latent sites, and of what is computed from them.
        log_evidence: log p(data) in nats; None where a prior is improper.
        how: by latent site, in words.
        error: largest relative disagreement of log p(θ, data) − log p(θ | data) between points.
        points: how many there were.
    """

    form: ClosedForm
    log_evidence: float | None
    how: Mapping[str, str]
    error: float
    points: int


@dataclass(frozen=True)
class Unsolved:
    """There is no closed form, as far as is known here; `reason` is a sentence that names the sites in the way."""

    reason: str


def solve(
    model: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    known: Compressed | None = None,
) -> Solution | Unsolved:
    """The posterior of a NumPyro model in closed form, or why there is none.

    Args:
        model: a NumPyro model.
        args, kwargs: its arguments, the observations among them.
        known: a compressed form of it, if there is one already.

    Costs a pass or two over the data, and a few evaluations of the plain model.

    Raises:
        TypeError, ValueError: as `surprax.plan`.

    >>> import numpyro
    >>> from numpyro.distributions import Bernoulli, Beta
    >>> def coin(tosses):
    ...     theta = numpyro.sample("theta", Beta(1.0, 1.0))
    ...     with numpyro.plate("toss", len(tosses)):
    ...         numpyro.sample("heads", Bernoulli(theta), obs=tosses)
    >>> solution = solve(coin, (np.array([1, 0, 0, 0, 1, 0]),))
    >>> print(solution.form.mean("theta"), round(solution.log_evidence, 4), round(-np.log(105), 4))  # 1/B(3, 5)
    0.375 -4.654 -4.654
    """
    kwargs = dict(kwargs or {})
    with computing(True):
        anatomy = Anatomy(read(detached(model), *views((args, kwargs))) if known is None else known.reading, {})
        if anatomy.reading.obstacle is not None:
            return Unsolved(f"No closed form: {anatomy.reading.obstacle}.")
        point = anatomy.inner_point(0)
        ways = [_ways(anatomy, component, point) for component in anatomy.components()]
        troubles = [trouble for _, trouble in ways if trouble]
        if troubles:
            return Unsolved(_sentence(troubles))
        rows = max((anatomy.site(name).rows for name in anatomy.observed), default=0)
        observed = [name for name in anatomy.observed if anatomy.site(name).kind == "observed"]
        whole = known is not None and rows <= ALL_ROWS and set(known.compacts) == set(observed)
        fast = known if known is not None and whole else _compressed(model, args, kwargs, rows)
        anatomy = Anatomy(fast.reading, fast.compacts)
        points = [anatomy.inner_point(i) for i in range(_POINTS)]
        parts: list[Part] = []
        for component, (solvers, _) in zip(anatomy.components(), ways):
            found = _first_part(anatomy, component, solvers, points)
            if isinstance(found, str):
                return Unsolved(_sentence([found]))
            parts.append(found)
        plain = _plain(model, args, kwargs) if rows <= ALL_ROWS else _terms(anatomy)
        return _proved(anatomy, parts, plain, points[:2])


def _compressed(model: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], rows: int) -> Compressed:
    """However little is saved by that."""
    return (rewrite if rows <= ALL_ROWS else prepared)(model, args, kwargs, 1.0)


def _sentence(reasons: Sequence[str]) -> str:
    return f"No closed form: {'; '.join(dict.fromkeys(reasons))}."


# Which solvers to try on a component.

type _Solver = Callable[[Anatomy, Component, Sequence[Latents]], Part | str]


def _ways(anatomy: Anatomy, component: Component, point: Latents) -> tuple[list[_Solver], str]:
    """Solvers that the kinds of distributions leave open, or (without any) what is in the way; no data are looked at."""
    if not component.others and len(component.latents) == 1:
        return [_untouched], ""
    masked = [name for name in component.latents if anatomy.site(name).mask is not None]
    if masked:
        return [], f"the prior of {named(masked)} is masked"
    solvers: list[_Solver] = []
    trouble = conjugate_trouble(anatomy, component)
    if trouble is None:
        solvers.append(conjugate_part)
    others = [name for name in component.latents if not is_real(anatomy, name, point)]
    curved = not_quadratic(anatomy, component)
    if not others and curved is None:
        solvers.append(lambda anatomy, component, _: joint_normal_part(anatomy, component))
    elif len(others) == 1 and len(component.latents) > 1 and curved is None:
        (scale,) = others
        if isinstance(prior_belief(anatomy, scale), Gamma | InverseGamma):
            solvers.append(lambda anatomy, component, _: normal_and_scale_part(anatomy, component, scale))
    if solvers:
        return solvers, ""
    assert trouble is not None
    return [], trouble if others or curved is None else f"{trouble}; {curved}"


def _first_part(
    anatomy: Anatomy, component: Component, solvers: Sequence[_Solver], points: Sequence[Latents]
) -> Part | str:
    reasons = []
    for solver in solvers:
        found = solver(anatomy, component, points)
        if isinstance(found, Part):
            return found
        reasons.append(found)
    return "; ".join(dict.fromkeys(reasons))


def _untouched(anatomy: Anatomy, component: Component, _: Sequence[Latents]) -> Part | str:
    """The prior of a site that no data depend on."""
    (name,) = component.latents
    theirs, shape = anatomy.distribution(name, {}), anatomy.shape(name)
    family = elementwise_family(theirs)
    if family is None or anatomy.site(name).scale is not None:
        return f"{anatomy.what(name)}, the prior of {name!r}, which no data change, has no closed form here"
    own = expanded(family, shape[: len(shape) - family.event_dim])
    draw_shape = anatomy.site(name).sample_shape

    def draw(key: Array, n: int) -> dict[str, Any]:
        return {name: theirs.sample(key, (n, *draw_shape))}

    def log_density(latents: Latents) -> Any:
        return jnp.sum(own.log_prob(jnp.asarray(latents[name])))

    center = {name: np.asarray(theirs.sample(jax.random.key(0), draw_shape))}
    how = {name: "its prior, which no data move"}
    return Part(
        {name: shape}, {name: marginal_of(own)}, draw, log_density, center, how, transport=transport({name: own})
    )


# The proof.


def _plain(model: Any, args: Any, kwargs: Any) -> Callable[[Latents], Any]:
    """log p(θ, data) of the model as it was written."""
    own, (args, kwargs) = detached(model), views((args, kwargs))
    return lambda latents: log_density(own, args, kwargs, {n: jnp.asarray(v) for n, v in latents.items()})[0]


def _terms(anatomy: Anatomy) -> Callable[[Latents], Any]:
    """log p(θ, data) by our own forms of the densities, compressed where they are."""
    return lambda latents: sum(anatomy.log_density(name, latents) for name in (*anatomy.latents, *anatomy.observed))


def _compiled(function: Callable[[Latents], Any], example: Latents) -> Callable[[Latents], float]:
    try:
        hoisted = Hoisted(function, example)
    except TypeError:  # NumPyro compares data with the ends of some supports by NumPy, which takes no tracer
        return lambda latents: float(function(latents))
    pure = hoisted.pure
    program = kept(("proof", hoisted.fingerprint), lambda: jax.jit(pure))
    return lambda latents: float(program(hoisted.constants, latents))


def _proved(
    anatomy: Anatomy, parts: Sequence[Part], plain: Callable[[Latents], Any], points: Sequence[Latents]
) -> Solution | Unsolved:
    """The solution, if log p(θ, data) − log p(θ | data) is the same in the middle of the posterior, and near it and far."""
    center = {name: jnp.asarray(value) for part in parts for name, value in part.center.items()}
    others = [anatomy.between(center, point, share) for point in points for share in SHARES]
    with warnings.catch_warnings():  # of values outside of supports: there the density is 0
        warnings.simplefilter("ignore")
        joint = _compiled(plain, center)
        posterior = _compiled(lambda latents: sum(part.log_density(latents) for part in parts), center)
        own = posterior(center)
        log_evidence, told = _compiled(_terms(anatomy), center)(center) - own, joint(center) - own
        error = _apart(told, log_evidence, told, 1e-3)  # some of NumPyro's constants keep six digits only
        for latents in others:
            there, here = joint(latents), posterior(latents)
            if not (there == here == -np.inf):
                error = max(error, _apart(there - here, told, max(abs(there), abs(here), abs(told))))
    if not error <= TOLERANCE:
        return Unsolved(
            f"No closed form: the one found for {named(anatomy.latents)} disagrees with the model by {error:.1g} at random points."
        )
    improper = any(anatomy.site(name).distribution is ImproperUniform for name in anatomy.latents)
    how = {name: text for part in parts for name, text in part.how.items()}
    return Solution(
        with_derived(anatomy, parts),
        None if improper else log_evidence,
        {name: how[name] for name in anatomy.latents},
        error,
        len(others) + 1,
    )


def _apart(a: float, b: float, size: float, share: float = 1.0) -> float:
    apart = share * abs(a - b) / (1.0 + abs(size))
    return np.inf if np.isnan(apart) else apart
