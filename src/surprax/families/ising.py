"""The Ising model on a graph with small cliques."""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import Carrier
from surprax.families.base import family
from surprax.families.discrete import binary_entropy, softplus, trials_deviance
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, real
from surprax.families.supports import Region
from surprax.numerics.elementary import by_dtype, with_derivatives
from surprax.numerics.junction_tree import (
    at_states,
    best_log_odds,
    junction_tree,
    log_odds,
    log_odds_changes,
    marginals,
    width,
)
from surprax.numerics.linalg import beside, solve_lower

__all__ = ["Ising"]

WIDEST = 12
"""Tables have at most 2¹² numbers."""

SPINS = Region("vectors of −1 and +1", lambda x: jnp.all(abs(x) == 1, axis=-1), 1, np.ones, discrete=True)


class _OfGraph:
    """What only the family of a graph has: asked of `Ising` itself, it says where to get one."""

    def __get__(self, instance: Any, owner: type) -> Any:
        raise TypeError(
            "Ising is one family for each graph: take that of yours, Ising.on(edges), as in Ising.on([(0, 1), (1, 2)])."
        )


OF_GRAPH: Any = _OfGraph()


def _rise(own: Array, gap: Array) -> Array:
    """sigmoid(own + gap) − sigmoid(own), to relative accuracy as gap → 0."""
    up = gap >= 0.0  # by branches that are smooth at 0 too
    high, low = own + jnp.where(up, gap, 0.0), own + jnp.where(up, 0.0, gap)
    size = jax.nn.sigmoid(high) * jax.nn.sigmoid(-low) * -jnp.expm1(jnp.where(up, -gap, gap))
    return jnp.where(up, size, -size)


def _variance_of(odds: Array) -> Array:
    return jax.nn.sigmoid(odds) * jax.nn.sigmoid(-odds)


@with_derivatives(lambda own, gap: _rise(own, gap) - gap * _variance_of(own), _rise)
def _divergence(own: Array, gap: Array) -> Array:
    """KL of one spin of log-odds `own` from one of log-odds own + gap, to relative accuracy as gap → 0."""
    other = own + gap
    return trials_deviance(jax.nn.sigmoid(own), jax.nn.sigmoid(-own), gap, softplus(other), softplus(-other))


@family
class Ising(ExponentialFamily):
    """Ising model of spins x_v = ±1 on the nodes of a graph with edges E: s(x) = A − Σ_v h_v x_v − Σ_{uv ∈ E} J_uv x_u x_v.

    There is one family for each graph: `Ising.on(edges)`.

    Args:
        field: h, one number for each node on the last axis, any.
        coupling: J, one number for each edge on the last axis, in the order of the edges; above 0, neighbours tend to agree.

    States are −1 and +1, as in physics, and every edge counts once. (For states 0 and 1 the same laws have other parameters.)
    Natural parameters (h, J) of T(x) = (x_v, x_u x_v). Everything is exact: sums go node by node, over tables of 2ᵏ numbers, k
    being the treewidth of the graph as found by least fill, at most 12: 1 for chains and trees, 2 for cycles, the shorter
    side for grids. What is compiled grows with the number of nodes.

    `fit` and `from_expectation` use Newton's method, in float64. There is no maximum where mean statistics are on the border of
    what is possible: where two neighbours never show one of their four states, say. The mode is any one of the best states.

    Sources: Wainwright & Jordan (2008), "Graphical models, exponential families, and variational inference", example 3.1;
    Lauritzen & Spiegelhalter (1988) for the sums.

    >>> chain = Ising.on([(0, 1), (1, 2)])
    >>> d = chain(field=[0.0, 0.0, 0.0], coupling=[0.5, -1.0])
    >>> print(f"{d.log_normalizer:.4f}", f"{np.log(2 * 2 * np.cosh(0.5) * 2 * np.cosh(-1.0)):.4f}")  # of a tree without fields
    2.6333 2.6333
    >>> print(d.expectation[3:].round(4), np.tanh([0.5, -1.0]).round(4))  # how much neighbours agree
    [ 0.4621 -0.7616] [ 0.4621 -0.7616]
    """

    field: Any = parameter(real, event_dim=1)
    coupling: Any = parameter(real, event_dim=1)

    dimension = None
    discrete = True
    event_dim = 1
    data_support = SPINS
    layout = OF_GRAPH
    tree = OF_GRAPH
    """The graph, taken apart into cliques: a `JunctionTree`."""

    @classmethod
    def on(cls, edges: Iterable[Sequence[int]], nodes: int | None = None) -> type["Ising"]:
        """The family of Ising models on a graph; the same class whenever it is asked for the same graph.

        Args:
            edges: pairs of different nodes 0, 1, …, each once; their order is that of `coupling`.
            nodes: how many there are; by default as many as the edges name.

        Raises:
            ValueError: where it is no such graph, or one of treewidth above 12.

        `Evidence.load` knows the families of graphs that have been asked for before.
        """
        pairs = [tuple(int(v) for v in edge) for edge in edges]
        for i, pair in enumerate(pairs):
            if len(pair) != 2 or pair[0] == pair[1] or min(pair) < 0 or (nodes is not None and max(pair) >= nodes):
                among = "0, 1, …" if nodes is None else f"0, …, {nodes - 1}"
                raise ValueError(f"Ising: an edge is a pair of different nodes among {among}; edge {i} is {pair}.")
        ordered = tuple((min(pair), max(pair)) for pair in pairs)
        if len(set(ordered)) < len(ordered):
            twice = next(i for i, pair in enumerate(ordered) if pair in ordered[:i])
            raise ValueError(f"Ising: every edge is named once; edge {twice}, {pairs[twice]}, is there already.")
        size = max((v + 1 for pair in ordered for v in pair), default=0) if nodes is None else int(nodes)
        if size < 1:
            raise ValueError("Ising: a graph has at least one node; of one without edges, pass nodes=....")
        return _family_of(size, ordered)

    def __post_init__(self) -> None:
        expected = {"field": self.tree.nodes, "coupling": len(self.tree.edges)}
        super().__post_init__()
        for name, size in expected.items():
            shape = np.shape(getattr(self, name))
            if not shape or shape[-1] != size:
                what = "node" if name == "field" else "edge"
                raise ValueError(
                    f"{type(self).__name__}: {name} must have one number for each {what} on its last axis, {size} in all; got"
                    f" an array of shape {shape}. For one number everywhere, pass np.full({size}, number)."
                )

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(number of nodes,)."""
        return (self.tree.nodes,)

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """One for each node and edge."""
        return int(cls.tree.nodes + len(cls.tree.edges))

    @property
    def _pair(self) -> tuple[Array, Array]:
        field, coupling = jnp.asarray(self.field), jnp.asarray(self.coupling)
        batch = jnp.broadcast_shapes(field.shape[:-1], coupling.shape[:-1])
        return tuple(jnp.broadcast_to(v, batch + v.shape[-1:]) for v in (field, coupling))  # type: ignore[return-value]

    @property
    def _odds(self) -> list[Array]:
        """Log-odds of each node in the order of elimination, given its neighbours that are eliminated later."""
        return log_odds(self.tree, *self._pair)[0]

    # Density.

    def _log_density(self, x: Array) -> Array:
        """Σ log P(x_v | neighbours eliminated later)."""
        spins = [x[..., v] for v in range(self.tree.nodes)]
        odds = [at_states(c, table, spins) for c, table in zip(self.tree.cliques, self._odds)]
        own = jnp.stack([spins[c.node] * odds for c, odds in zip(self.tree.cliques, odds)], axis=-1)
        return -jnp.sum(softplus(-own), axis=-1)

    # Moments.

    def _mean(self) -> Array:
        return self._expectation()[..., : self.tree.nodes]

    def _variance(self) -> Array:
        """4 P(x_v = 1) P(x_v = −1)."""
        odds = self._odds
        sides = [
            [jnp.sum(p * jax.nn.sigmoid(sign * own), axis=-1) for sign in (1, -1)]
            for p, own in zip(marginals(self.tree, odds), odds)
        ]
        return self._by_node([4.0 * up * down for up, down in sides])

    def _mode(self) -> Array:
        spins: dict[int, Array] = {}
        for c, table in reversed(list(zip(self.tree.cliques, best_log_odds(self.tree, *self._pair)))):
            better = at_states(c, table, spins)
            spins[c.node] = jnp.where(jnp.isnan(better), jnp.nan, jnp.where(better > 0, 1.0, -1.0))
        return jnp.stack([spins[v] for v in range(self.tree.nodes)], axis=-1)

    def _by_node(self, values: list[Array]) -> Array:
        """Numbers of the nodes, in the order of elimination, by node on the last axis."""
        place = np.argsort([c.node for c in self.tree.cliques])
        return jnp.stack([values[i] for i in place], axis=-1)

    # Information.

    def _entropy(self) -> Array:
        odds = self._odds
        return jnp.sum(_in_a_row(marginals(self.tree, odds)) * binary_entropy(_in_a_row(odds)), axis=-1)

    def _kl(self, q: Self) -> Array:
        """Σ E KL(x_v | later neighbours): the changes of the log-odds are carried along, not subtracted."""
        odds = self._odds
        (field, coupling), (other_field, other_coupling) = self._pair, q._pair
        gaps = log_odds_changes(self.tree, odds, other_field - field, other_coupling - coupling)
        p = marginals(self.tree, odds)
        return jnp.sum(_in_a_row(p) * _divergence(_in_a_row(odds), _in_a_row(gaps)), axis=-1)

    # Exponential family.

    def _natural(self) -> Array:
        return jnp.concatenate(self._pair, axis=-1)

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        nodes, edges = cls.tree.nodes, len(cls.tree.edges)
        if natural.shape[-1] != nodes + edges:
            raise ValueError(
                f"{cls.__name__} has {nodes} + {edges} natural parameters, on the last axis; got shape {natural.shape}."
            )
        return cls._of(field=natural[..., :nodes], coupling=natural[..., nodes:])

    def _expectation(self) -> Array:
        odds = self._odds
        return self._expectation_by(odds, marginals(self.tree, odds))

    def _expectation_by(self, odds: list[Array], probabilities: list[Array]) -> Array:
        """E x_v and E x_u x_v, of tanh(ℓ_v/2) = E[x_v | later neighbours]."""
        means: list[Array] = []
        agreements: dict[int, Array] = {}
        for c, p, own in zip(self.tree.cliques, probabilities, odds):
            pull = p * jnp.tanh(0.5 * own)
            means.append(jnp.sum(pull, axis=-1))
            together = jnp.einsum("...s,si->...i", pull, jnp.asarray(c.states, pull.dtype), precision="highest")
            agreements |= {e: together[..., i] for e, i in zip(c.edges, c.ends)}
        edges = [agreements[e] for e in range(len(agreements))]
        return jnp.concatenate([self._by_node(means)] + ([jnp.stack(edges, axis=-1)] if edges else []), axis=-1)

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        return cls._solved(expectation)[0]

    def _log_normalizer(self) -> Array:
        return log_odds(self.tree, *self._pair)[1]

    def _sufficient_statistics(self, x: Array) -> Array:
        return _statistics(x, self.tree.edges)

    @classmethod
    def _gap_statistics(cls, gaps: Array) -> Any:
        return 0.0

    def _fisher_information(self) -> Array:
        return self._expanded()[2]

    def _expanded(self) -> tuple[Array, Array, Array]:
        """A, its gradient and its Hessian.

        By the chain rule of the Fisher information it is Σ E[P(x_v = 1 | ·) P(x_v = −1 | ·) ∇ℓ_v ∇ℓ_vᵀ]: positive terms.
        """
        eta, nodes = self._natural(), self.tree.nodes
        (odds, level), push = jax.linearize(lambda v: log_odds(self.tree, v[..., :nodes], v[..., nodes:]), eta)

        def along(direction: Array) -> list[Array]:
            direction = direction.reshape((1,) * (eta.ndim - 1) + direction.shape)
            return push(jnp.broadcast_to(direction, eta.shape))[0]

        slope = _in_a_row(jax.vmap(along, out_axes=-1)(jnp.eye(eta.shape[-1], dtype=eta.dtype)), axis=-2)
        p = marginals(self.tree, odds)
        weight = _in_a_row(p) * _variance_of(_in_a_row(odds))
        fisher = jnp.einsum("...si,...sj->...ij", weight[..., None] * slope, slope, precision="highest")
        return level, self._expectation_by(odds, p), fisher

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """That with the mean statistics of the data."""
        fit, possible, found = cls._solved(e.mean)
        outcome = Outcome.first(
            (e.count <= 0, Reason.NO_DATA), (~possible, Reason.NO_SUCH_MEAN), (~found, Reason.NOT_CONVERGED)
        )
        return fit, outcome

    @classmethod
    def _solved(cls, target: Array) -> tuple[Self, Array, Array]:
        """The member with these expectations (NaN where there is none), whether they are possible, and whether it was found.

        Newton's method from independent nodes; a step is halved until the log-likelihood grows by a quarter of what its slope
        promises. At impossible expectations the natural parameters run away to where the Fisher information is singular to
        rounding, and no step is left. Differentiable, by the implicit function theorem.
        """
        nodes, edges = cls.tree.nodes, cls.tree.edges
        eps, size = float(jnp.finfo(target.dtype).eps), target.shape[-1]
        goal = jax.lax.stop_gradient(target)
        inside = _is_possible(goal, nodes, edges, 64 * eps)
        goal = jnp.where(inside[..., None], goal, 0.0)
        start = jnp.concatenate([jnp.arctanh(goal[..., :nodes]), jnp.zeros_like(goal[..., nodes:])], axis=-1)

        def at(eta: Array) -> _Climb:
            level, mean, F = cls._from_natural(eta, {})._expanded()
            short = goal - mean
            scale = jnp.sqrt(jnp.diagonal(F, axis1=-2, axis2=-1))
            L = jnp.linalg.cholesky(F / scale[..., :, None] / scale[..., None, :])
            step = _solve(L, scale, short)
            value = jnp.sum(eta * goal, axis=-1) - level
            regular = jnp.min(jnp.diagonal(L, axis1=-2, axis2=-1), axis=-1) ** 2 > 512 * eps
            return _Climb(eta, jnp.where(regular, value, jnp.nan), step, jnp.sum(short * step, axis=-1), L, scale)

        def improve(state: tuple[Any, ...]) -> tuple[Any, ...]:
            count, here, part, small = state
            there = at(here.eta + part[..., None] * here.step)
            rounding = 8 * size * eps * (1.0 + jnp.max(jnp.abs(here.eta), axis=-1))
            grows = there.value >= here.value + 0.25 * part * here.slope - rounding
            here = jax.tree.map(lambda new, old: jnp.where(beside(grows, new.ndim - grows.ndim), new, old), there, here)
            little = grows & (jnp.max(jnp.abs(here.step), axis=-1) <= by_dtype(target, 1e-2, 1e-4))
            part = jnp.where(grows, jnp.minimum(2.0 * part, 1.0), 0.5 * part)
            return count + 1, here, part, small + little.astype(jnp.int32)

        def unfinished(state: tuple[Any, ...]) -> Array:
            count, _, part, small = state
            return (count < 200) & jnp.any((part > 1e-6) & (small < 3))

        zero = jnp.zeros_like(goal)
        square = jnp.broadcast_to(jnp.eye(size, dtype=goal.dtype), (*goal.shape, size))
        begin = _Climb(start, jnp.full_like(goal[..., 0], -jnp.inf), zero, zero[..., 0], square, jnp.ones_like(goal))
        state = (jnp.zeros((), jnp.int32), begin, jnp.ones_like(goal[..., 0]), jnp.zeros(goal.shape[:-1], jnp.int32))
        _, here, part, small = jax.lax.while_loop(unfinished, improve, state)
        here, part = jax.lax.stop_gradient((here, part))
        found = inside & (small >= 3)
        eta = here.eta + _solve(here.factor, here.scale, jnp.where(inside[..., None], target - goal, 0.0))
        return cls._from_natural(jnp.where(found[..., None], eta, jnp.nan), {}), inside & (part > 1e-6), found

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """One node after another, against the order of elimination: 1 where the log-odds exceed a logistic variable."""
        spins: dict[int, Array] = {}
        odds = self._odds
        low, high = jax.random.gumbel(key, (2, len(odds), *shape), jnp.result_type(*odds), mode="high")
        for c, table, noise in reversed(list(zip(self.tree.cliques, odds, low - high))):
            spins[c.node] = jnp.where(at_states(c, table, spins) > noise, 1, -1)
        return jnp.stack([spins[v] for v in range(self.tree.nodes)], axis=-1)


class _Climb(NamedTuple):
    """A place on the way to the greatest log-likelihood, and Newton's step from it."""

    eta: Array
    value: Array
    step: Array
    slope: Array
    factor: Array
    scale: Array


def _solve(factor: Array, scale: Array, vector: Array) -> Array:
    """F⁻¹ v, where F scaled to a unit diagonal has that Cholesky factor."""
    half = solve_lower(factor, vector / scale)
    return solve_lower(factor, half, transposed=True) / scale


def _in_a_row(tables: Sequence[Array], axis: int = -1) -> Array:
    """Tables one after the other: what is elementwise is compiled once for all."""
    return jnp.concatenate(tables, axis=axis)


def _statistics(x: Array, edges: tuple[tuple[int, int], ...]) -> Array:
    """The spins, and their products along the edges."""
    if not edges:
        return x
    ends = np.array(edges)
    return jnp.concatenate([x, x[..., ends[:, 0]] * x[..., ends[:, 1]]], axis=-1)


def _is_possible(mean: Array, nodes: int, edges: tuple[tuple[int, int], ...], least: float) -> Array:
    """Whether all states of each node and of each two neighbours have probabilities above `least`: needed, and enough on trees."""
    m = mean[..., :nodes]
    good = jnp.all(jnp.abs(m) < 1.0 - least, axis=-1)
    if edges:
        ends = np.array(edges)
        u, v, uv = m[..., ends[:, 0]], m[..., ends[:, 1]], mean[..., nodes:]
        low = jnp.minimum(1.0 + uv - jnp.abs(u + v), 1.0 - uv - jnp.abs(u - v))
        good = good & jnp.all(low > 4.0 * least, axis=-1)
    return good


@functools.cache
def _family_of(nodes: int, edges: tuple[tuple[int, int], ...]) -> type[Ising]:
    wide = width(nodes, edges)
    if wide > WIDEST:
        raise ValueError(
            f"Ising sums over the joint states of cliques, tables of at most 2^{WIDEST} numbers; this graph needs 2^{wide} (its"
            " treewidth, as found by least fill). Leave out edges, or split the graph."
        )
    told = " ".join(f"{u}-{v}" for u, v in edges)
    if len(edges) > 12:
        told = f"{len(edges)} edges {hashlib.sha256(told.encode()).hexdigest()[:12]}"
    carrier = Carrier("x and x_u x_v", lambda x: _statistics(x, edges), None, lower=-1.0, upper=1.0, rank=1)
    own = {"__module__": __name__, "tree": junction_tree(nodes, edges), "layout": Layout(carrier)}
    return family(type(f"Ising[{nodes}: {told}]" if edges else f"Ising[{nodes}]", (Ising,), own))
