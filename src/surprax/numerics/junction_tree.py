"""Exact sums over the joint states of spins ±1 whose graph has small cliques, by eliminating one node after another.

    log p(x) = Σ_v h_v x_v + Σ_e J_e x_u x_v − A,    x_v = ±1,    e = {u, v} an edge

Node v is summed out given its neighbours that are still there. What is kept is not the sum but the log-odds

    ℓ_v(x_S) = log P(x_v = 1 | x_S) − log P(x_v = −1 | x_S),    S = the neighbours of v that are eliminated later,

a table of 2^|S| numbers. The conditional probabilities factorise the law, log p(x) = Σ_v log P(x_v | x_S), so that densities,
entropies and divergences are sums of terms of one sign. S is a part of the clique of the node in S that goes first: the cliques
are a junction tree.

Tables are on the last axis; the axes before are batch, of equal rank in all arguments. Bit i of a place in a table tells
whether others[i] is +1. Sources: Lauritzen & Spiegelhalter (1988); Kjærulff (1990) for the order by least fill.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.numerics.elementary import as_floats, logaddexp, with_derivatives

__all__ = [
    "Clique",
    "JunctionTree",
    "at_states",
    "best_log_odds",
    "junction_tree",
    "log_odds",
    "log_odds_changes",
    "marginals",
    "width",
]

type Edges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Arrival:
    """Where the table of an eliminated node (its number in the order) is read, for a state of the clique it arrives at.

    Attributes:
        clique: number in the order of the node that the table comes from.
        places: places in that table, of shape (2, 2^|others|): for x_v = −1 and +1 and each state of the others.
    """

    clique: int
    places: np.ndarray


@dataclass(frozen=True, eq=False)
class Clique:
    """A node when it is eliminated.

    Attributes:
        node: v.
        others: its neighbours that are eliminated later, in their order.
        edges: numbers of the edges between v and some of these (others are neighbours by elimination alone).
        ends: for each of these edges, which of `others` is at its other end.
        states: joint states ±1 of the others, shape (2^|others|, |others|).
        arrivals: what comes from nodes before.
    """

    node: int
    others: tuple[int, ...]
    edges: tuple[int, ...]
    ends: tuple[int, ...]
    states: np.ndarray
    arrivals: tuple[Arrival, ...]


@dataclass(frozen=True, eq=False)
class JunctionTree:
    """A graph, taken apart: the cliques in the order in which their nodes are eliminated."""

    nodes: int
    edges: Edges
    cliques: tuple[Clique, ...]


def elimination_order(nodes: int, edges: Edges) -> list[tuple[int, tuple[int, ...]]]:
    """Nodes with the neighbours that they have when eliminated: always the node that adds fewest edges between these.

    >>> [len(others) for _, others in elimination_order(4, ((0, 1), (1, 2), (2, 3), (3, 0)))]  # a cycle
    [2, 2, 1, 0]
    """
    near: dict[int, set[int]] = {v: set() for v in range(nodes)}
    for u, v in edges:
        near[u].add(v)
        near[v].add(u)

    def cost(v: int) -> tuple[int, int, int]:
        missing = sum(b not in near[a] for a, b in itertools.combinations(near[v], 2))
        return missing, len(near[v]), v

    order = []
    while near:
        v = min(near, key=cost)
        others = near.pop(v)
        for u in others:
            near[u] |= others - {u}
            near[u].discard(v)
        order.append((v, tuple(others)))
    return order


def width(nodes: int, edges: Edges) -> int:
    """The most neighbours that a node has when it is eliminated: the treewidth, or a little more."""
    return max(len(others) for _, others in elimination_order(nodes, edges))


def junction_tree(nodes: int, edges: Edges) -> JunctionTree:
    """The cliques of a graph on nodes 0, …, `nodes` − 1 (at least one); its tables have 2^width numbers."""
    order = elimination_order(nodes, edges)
    place = {v: i for i, (v, _) in enumerate(order)}
    number = {frozenset(edge): i for i, edge in enumerate(edges)}
    all_others = [tuple(sorted(others, key=place.__getitem__)) for _, others in order]
    cliques = []
    for (v, _), others in zip(order, all_others, strict=True):
        joined = [(number[frozenset((v, u))], i) for i, u in enumerate(others) if frozenset((v, u)) in number]
        arrivals = tuple(
            Arrival(place[w], _places(all_others[place[w]], (*others, v)))
            for (w, _), target in zip(order, all_others, strict=True)
            if target and target[0] == v
        )
        ends = tuple(i for _, i in joined)
        cliques.append(Clique(v, others, tuple(e for e, _ in joined), ends, _states(len(others)), arrivals))
    return JunctionTree(nodes, edges, tuple(cliques))


def _bits(count: int) -> np.ndarray:
    """0 or 1, shape (2^count, count)."""
    return (np.arange(1 << count)[:, None] >> np.arange(count)) & 1


def _states(count: int) -> np.ndarray:
    return 2.0 * _bits(count) - 1.0


def _places(part: tuple[int, ...], whole: tuple[int, ...]) -> np.ndarray:
    """For each state of the nodes `whole`, with the last one on the first axis, the place of the state of `part`."""
    bits = _bits(len(whole))[:, [whole.index(u) for u in part]]
    return (bits << np.arange(len(part))).sum(axis=1).reshape(2, -1)


# Toward the roots: sums, or maxima, over the states of one node after another --------------------------------------------


@with_derivatives(jnp.tanh)
def _log_two_cosh(a: Array) -> Array:
    """log(eᵃ + e⁻ᵃ)."""
    return jnp.abs(a) + jnp.log1p(jnp.exp(-2.0 * jnp.abs(a)))


def log_odds(tree: JunctionTree, field: Array, coupling: Array) -> tuple[list[Array], Array]:
    """ℓ_v(x_S) for each clique, shape batch + (2^|S|,), and the log-normaliser A, shape batch.

    Shapes: field batch + (nodes,), coupling batch + (edges,). The error in ℓ is that of rounding the couplings.

    >>> (odds,), A = log_odds(junction_tree(1, ()), jnp.array([0.5]), jnp.zeros(0))
    >>> odds.tolist(), bool(jnp.isclose(A, jnp.log(2 * jnp.cosh(0.5))))
    ([1.0], True)
    """
    return _eliminated(tree, field, coupling, lambda _, odds: _log_two_cosh(0.5 * odds))


def best_log_odds(tree: JunctionTree, field: Array, coupling: Array) -> list[Array]:
    """As `log_odds`, of the best states of the nodes before in place of their sum: above 0 where x_v = 1 is better."""
    return _eliminated(tree, field, coupling, lambda _, odds: jnp.abs(0.5 * odds))[0]


def log_odds_changes(tree: JunctionTree, odds: Sequence[Array], field: Array, coupling: Array) -> list[Array]:
    """What the log-odds `odds` change by when `field` and `coupling` are added; its digits do not depend on how little that is."""

    def change(number: int, step: Array) -> Array:
        """log(P(x_v = 1 | x_S) e^a + P(x_v = −1 | x_S) e^−a) at a = step/2: by cosh a − 1 + tanh(ℓ/2) sinh a, if small."""
        a, own = 0.5 * step, odds[number]
        near = jnp.abs(a) <= 0.5
        small = jnp.where(near, a, 0.0)
        close = jnp.log1p(2.0 * jnp.sinh(0.5 * small) ** 2 + jnp.tanh(0.5 * own) * jnp.sinh(small))
        surprise = logaddexp(-own, 0.0)  # of x_v = 1
        far = logaddexp(a - surprise, -a - (surprise + own))
        return jnp.where(near, close, far)

    return _eliminated(tree, field, coupling, change)[0]


def _eliminated(
    tree: JunctionTree, field: Array, coupling: Array, summed: Callable[[int, Array], Array]
) -> tuple[list[Array], Array]:
    """Log-odds of each clique, and the constant that is left.

    A term f(x_v, x_S) enters by its odd part, f(1, ·) − f(−1, ·), and its even part, (f(1, ·) + f(−1, ·))/2; `summed` tells, for
    the number of a clique and the sum of the odd parts, what becomes of them. Constants are taken out of the tables at every
    step, so that these do not grow with the number of nodes.
    """
    field, coupling = as_floats(field, coupling)
    odds: list[Array] = []
    tables: list[Array] = []
    total = jnp.zeros((), field.dtype)
    for i, c in enumerate(tree.cliques):
        pull = jnp.asarray(c.states[:, list(c.ends)], field.dtype)
        around = (
            jnp.einsum("...e,se->...s", coupling[..., list(c.edges)], pull, precision="highest") if c.edges else 0.0
        )
        odd = 2.0 * (field[..., c.node, None] + around)
        even = jnp.zeros((), field.dtype)
        for arrival in c.arrivals:
            below, above = (tables[arrival.clique][..., places] for places in arrival.places)
            odd, even = odd + (above - below), even + 0.5 * (above + below)
        table = even + summed(i, odd)
        constant = jnp.mean(table, axis=-1, keepdims=True)
        odds.append(odd)
        tables.append(table - constant)
        total = total + constant[..., 0]
    return odds, total


# Away from the roots: probabilities, and the states of one node after another -------------------------------------------


def marginals(tree: JunctionTree, odds: Sequence[Array]) -> list[Array]:
    """P(x_S) for each clique, shape of its log-odds: sums of positive numbers."""
    of_others: dict[int, Array] = {}
    for i, c in reversed(list(enumerate(tree.cliques))):
        own = of_others.setdefault(i, jnp.ones_like(odds[i]))
        joint = jnp.concatenate([own * jax.nn.sigmoid(-odds[i]), own * jax.nn.sigmoid(odds[i])], axis=-1)
        for arrival in c.arrivals:
            target = tree.cliques[arrival.clique]
            sorted_places = np.argsort(arrival.places.ravel(), kind="stable")
            together = joint[..., sorted_places].reshape(*joint.shape[:-1], 1 << len(target.others), -1)
            of_others[arrival.clique] = jnp.sum(together, axis=-1)
    return [of_others[i] for i in range(len(odds))]


def at_states(clique: Clique, table: Array, spins: dict[int, Array] | Sequence[Array]) -> Array:
    """The number of a table of that clique at given states of its others; `spins` has those of each node, of shape batch."""
    if not clique.others:
        return table[..., 0]
    place = sum(jnp.where(spins[u] > 0, 1 << i, 0) for i, u in enumerate(clique.others))
    return jnp.take_along_axis(table, jnp.asarray(place)[..., None], axis=-1)[..., 0]
