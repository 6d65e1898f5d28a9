"""What a grid of parameters is about: the log-likelihood of its nodes, by evidence or row by row, and their log-prior density."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence import Evidence, Moments
from surprax.families.base import Distribution
from surprax.families.fitting import has_evidence, observe
from surprax.numerics.precision import in_float64

__all__ = ["Prior", "Problem", "log_prior"]

type Prior = Mapping[str, Distribution] | Callable[..., Any] | None

AT_ONCE = 1 << 22
"""So many log-densities of a row at a node are in memory at a time."""

NODES = 1 << 20
"""So many nodes are evaluated at a time by evidence."""


class Problem:
    """What is believed about: the log-likelihood of nodes and their log-prior density.

    Attributes:
        of: the family or function.
        fixed: parameters that are held, by name.
        log_prior: log-density at values of all parameters, by name; None where there is no telling any more (of a marginal).
    """

    def __init__(self, of: Any, fixed: dict[str, Any], log_prior: Callable[..., Any]) -> None:
        self.of, self.fixed, self.log_prior = of, fixed, log_prior

    @property
    def is_family(self) -> bool:
        return isinstance(self.of, type)

    def evidence(self, data: tuple[Any, ...], weights: Any) -> Evidence | None:
        """Data as evidence, where the family has such; None where rows are to be kept."""
        if not self.is_family:
            return None
        if len(data) != 1:
            raise TypeError(
                f"A grid over {self.of.__name__} is updated by one array or `Evidence`; got {len(data)} arguments."
            )
        if isinstance(data[0], Evidence):
            if weights is not None:
                raise TypeError("Weights belong to rows; evidence is weighted as a whole, `evidence * t`.")
            return data[0]
        if not hasattr(self.of, "evidence") or not has_evidence(self.of, known := self._known()):
            return None
        return self.of.evidence(data[0], weights, **known)

    def _known(self) -> dict[str, Any]:
        return {name: self.fixed[name] for name in self.of.known_parameters if name in self.fixed}

    def rows(self, data: tuple[Any, ...], weights: Any) -> tuple[tuple[Any, ...], Any]:
        """Data and weights that are kept row by row, as arrays; errors name the first row that does not belong."""
        if not self.is_family:
            if weights is not None:
                raise TypeError(
                    "Weights belong into the log-likelihood function; a grid over a function takes data as they are."
                )
            return tuple(x.to_numpy() if hasattr(x, "to_numpy") else x for x in data), None
        x, weights = observe(self.of, data[0], weights, self._known())
        x = np.asarray(x)
        if x.ndim != 1 + self.of.event_dim:
            raise ValueError(
                f"A grid over {self.of.__name__} is updated by observations along one axis"
                + (f" and {self.of.event_dim} more for each" if self.of.event_dim else "")
                + f"; got an array of shape {x.shape}."
            )
        return (x,), None if weights is None else np.asarray(weights, np.float64)

    def by_evidence(self, evidence: Evidence, nodes: dict[str, np.ndarray]) -> np.ndarray:
        """Log-likelihood in nats, shape batch of the evidence + (nodes,)."""
        if evidence.family is not self.of:
            raise ValueError(
                f"A grid over {self.of.__name__} takes evidence for it; got evidence for {evidence.family.__name__}. Make it by"
                f" {self.of.__name__}.evidence(x)."
            )
        if isinstance(evidence, Moments):
            evidence.check_known(self.family_at(nodes))
        evidence = evidence._replace(labels=None)
        parts = [_evidence_log_likelihood(evidence, self.family_at(part)) for part in _parts(nodes, NODES)]
        return np.concatenate(parts, axis=-1)

    def by_rows(self, data: tuple[Any, ...], weights: Any, nodes: dict[str, np.ndarray]) -> np.ndarray:
        """Log-likelihood in nats by adding up rows, shape (nodes,)."""
        if self.is_family:
            (x,) = data
            parts = [
                _rows_log_likelihood(x, weights, self.family_at(part))
                for part in _parts(nodes, max(1, AT_ONCE // max(x.size, 1)))
            ]
            return np.concatenate(parts)
        largest = max((np.size(leaf) for leaf in jax.tree.leaves(data)), default=1)
        return np.asarray(self._function_at(data, nodes, max(1, min(NODES, AT_ONCE // max(largest, 1)))))

    def log_mixture(self, x: np.ndarray, log_p: np.ndarray, nodes: dict[str, np.ndarray]) -> np.ndarray:
        """log Σ p f(x) over the nodes of probabilities p, shape (…, nodes); of shape … + that of x."""
        if not self.is_family:
            raise ValueError("New observations are predicted by a family; this grid is over a function.")
        event = self.family_at({name: v[:1] for name, v in nodes.items()}).event_dim
        rows = x.reshape(-1, *x.shape[x.ndim - event :])
        each = log_p.reshape(-1, log_p.shape[-1])
        size = max(1, AT_ONCE // max(len(rows), 1))
        parts = [
            _log_mixture(rows, each[:, i * size : (i + 1) * size], self.family_at(part))
            for i, part in enumerate(_parts(nodes, size))
        ]
        total = np.logaddexp.reduce(np.stack(parts), axis=0)
        return total.reshape((*log_p.shape[:-1], *x.shape[: x.ndim - event]))

    def family_at(self, nodes: dict[str, np.ndarray]) -> Any:
        return self.of(**nodes, **self.fixed)

    @functools.cached_property
    def _function_at(self) -> Callable[..., Any]:
        @functools.partial(in_float64, static_argnames=("at_once",))
        def total(data: Any, nodes: Any, at_once: int) -> Any:
            def one(node: Any) -> Any:
                return jnp.sum(jnp.asarray(self.of(*data, **node, **self.fixed)))

            return jax.lax.map(one, nodes, batch_size=at_once)

        return lambda data, nodes, at_once: total(data, nodes, at_once=at_once)


@in_float64
def _evidence_log_likelihood(evidence: Evidence, at: Any) -> Any:
    known = {name: v for name, v in evidence.known.items() if np.ndim(v) <= evidence.family.known_event_dim(name)}
    evidence = evidence._replace(known={name: v for name, v in evidence.known.items() if name not in known})

    def total(e: Any) -> Any:
        return e._replace(known={**e.known, **known}).log_likelihood(at)

    for _ in evidence.batch_shape:
        total = jax.vmap(total)
    return total(evidence)


@in_float64
def _rows_log_likelihood(x: Any, weights: Any, at: Any) -> Any:
    terms = at.log_prob(x[:, None])
    return jnp.sum(
        terms if weights is None else jnp.where(weights[:, None] == 0, 0.0, weights[:, None] * terms), axis=0
    )


def _parts(nodes: dict[str, np.ndarray], size: int) -> list[dict[str, np.ndarray]]:
    number = len(next(iter(nodes.values())))
    return [{name: v[i : i + size] for name, v in nodes.items()} for i in range(0, number, size)]


def log_prior(prior: Prior, axes: dict[str, np.ndarray]) -> Callable[[dict[str, np.ndarray]], Any]:
    """Log-density of a prior at nodes, by their coordinates; flat ones have the width that the axes have now."""
    if callable(prior) and not isinstance(prior, Mapping | type):
        one = in_float64(jax.vmap(lambda node: jnp.asarray(prior(**node)) * 1.0))
        return lambda nodes: np.asarray(one(nodes))
    if prior is not None and not isinstance(prior, Mapping):
        raise TypeError(
            f"A prior is given by name of parameter, prior={{{next(iter(axes))!r}: Normal(0, 1)}}, or as a function of all of them"
            f" that returns a log-density; got {prior!r}."
        )
    given = dict(prior or {})
    if unknown := [name for name in given if name not in axes]:
        raise ValueError(f"A prior is about parameters that vary, {', '.join(axes)}; got one for {unknown[0]!r}.")
    for name, d in given.items():
        if not isinstance(d, Distribution) or d.batch_shape or d.event_dim:
            raise TypeError(
                f"The prior of {name} is a single distribution of a number, such as Normal(0, 1); got {d!r}."
            )
    flat = -sum(math.log(v[-1] - v[0]) for name, v in axes.items() if name not in given)
    return lambda nodes: flat + sum(np.asarray(_log_density(d, nodes[name])) for name, d in given.items())


@in_float64
def _log_density(d: Any, x: Any) -> Any:
    return d.log_prob(x)


@in_float64
def _log_mixture(x: Any, log_p: Any, at: Any) -> Any:
    """log Σ p f(x), shape (batch, rows)."""
    return jax.vmap(lambda p: jax.scipy.special.logsumexp(p[None] + at.log_prob(x[:, None]), axis=-1))(log_p)
