"""Finite beliefs: evidence absorbed in place by ten and a hundred million hypotheses, against the cost of reading and writing; and
grids of parameters that meet many rows, against one pass over the data and one over the grid by hand (bare arithmetic without a
check, whose half millisecond is no target), and against every row at every node.

The limit is NumPy's own `np.add(s, e, out=s)`, one pass that reads two arrays and writes one, in turns with ours in one process;
another peer is what one would write in JAX, a normalised addition: add, take logsumexp away.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import surprax as sx
from benchmarks.harness import Case, Contest, Entrant, Setting, Target

__all__ = ["CASES"]


class Absorbing:
    """A belief that is replaced by each call, and how many calls there were."""

    def __init__(self, start: np.ndarray, evidence: np.ndarray) -> None:
        self.belief, self.evidence, self.calls = sx.Belief(start), jnp.asarray(evidence), 0

    def run(self) -> None:
        self.belief, self.calls = self.belief.absorb(self.evidence), self.calls + 1
        jax.block_until_ready(self.belief.excess)  # and is not handed out: the next call takes its memory

    def answer(self, _: Any) -> np.ndarray:
        return np.asarray(self.belief.excess, np.float64) / max(self.calls, 1)


class Adding:
    """The same with arrays of NumPy."""

    def __init__(self, start: np.ndarray, evidence: np.ndarray) -> None:
        self.total, self.evidence, self.calls = start.copy(), evidence, 0

    def run(self) -> None:
        self.calls += 1
        np.add(self.total, self.evidence, out=self.total)

    def answer(self, _: Any) -> np.ndarray:
        return self.total.astype(np.float64) / max(self.calls, 1)


@jax.jit
def normalised(log_p: jax.Array, evidence: jax.Array) -> jax.Array:
    total = log_p - evidence
    return total - jax.scipy.special.logsumexp(total)


class Normalising:
    """What one would write: log-probabilities that add to 1 after each step."""

    def __init__(self, start: np.ndarray, evidence: np.ndarray) -> None:
        self.log_p, self.evidence, self.calls = jnp.asarray(-start), jnp.asarray(evidence), 0

    def run(self) -> None:
        self.log_p, self.calls = normalised(self.log_p, self.evidence), self.calls + 1
        jax.block_until_ready(self.log_p)

    def answer(self, _: Any) -> np.ndarray:
        s = -np.asarray(self.log_p, np.float64)
        return (s - s.min()) / max(self.calls, 1)


def absorb(rows: int, setting: Setting) -> Contest:
    """The evidence is whole numbers, so that float32 adds it exactly however often it is absorbed."""
    rows = setting.size(rows, 1_000)
    evidence = np.random.default_rng(20_240_229).integers(0, 4, rows).astype(np.float32)
    start = np.zeros(rows, np.float32)
    ours, numpy, jax_one = Absorbing(start, evidence), Adding(start, evidence), Normalising(start, evidence)
    truth = evidence - evidence.min()

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        return {name: float(np.max(np.abs(told - told.min() - truth))) for name, told in answers.items()}

    return Contest(
        rows=rows,
        dtype="float32",
        entrants={
            "surprax": Entrant(ours.run, ours.answer, compilation={}),
            "NumPy, in place": Entrant(numpy.run, numpy.answer, compilation={}),
            "JAX, normalised": Entrant(jax_one.run, jax_one.answer, compilation={}),
        },
        judge=judge,
        tolerance=1e-5,
        peer_tolerance=1e-2,
    )


def by_hand(x: np.ndarray, loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """One pass over the data for raw moments, one over the grid: marginal probabilities of `loc`."""
    n, total, squares = len(x), np.sum(x, dtype=np.float64), np.dot(x, x)
    m, s = loc[:, None], scale[None, :]
    log_l = -n * np.log(s) - 0.5 * (squares - 2.0 * m * total + n * m * m) / s**2
    p = np.exp(log_l - log_l.max())
    return np.asarray(p.sum(axis=1) / p.sum())


@jax.jit
def row_by_row(x: jax.Array, loc: jax.Array, scale: jax.Array) -> jax.Array:
    """Every row at every node, 64 nodes at a time: what a grid costs without evidence."""
    m, s = (v.reshape(-1) for v in jnp.meshgrid(loc, scale, indexing="ij"))
    one = lambda node: jnp.sum(jax.scipy.stats.norm.logpdf(x, *node))  # noqa: E731
    log_l = jax.lax.map(one, (m, s), batch_size=64).reshape(len(loc), len(scale))
    return jax.nn.softmax(log_l.reshape(-1)).reshape(log_l.shape).sum(axis=1)


def on_grid(rows: int, nodes: tuple[int, int], peers: tuple[str, ...], setting: Setting) -> Contest:
    """Location and scale of a normal. All of it is timed: evidence, grid, belief and a marginal."""
    rows = setting.size(rows, 500)
    n, k = (setting.size(size, 12) for size in nodes)
    x = np.random.default_rng(20_240_301).normal(3.0, 2.0, rows)
    m, s, error = float(x.mean()), float(x.std()), 2.0 / np.sqrt(rows)
    loc, scale = np.linspace(m - 5 * error, m + 5 * error, n), np.linspace(s - 4 * error, s + 4 * error, k)
    z = (x - m) @ (x - m)
    gaps = -rows * np.log(scale) - 0.5 * (z + rows * (loc[:, None] - m) ** 2) / scale**2
    exact = np.exp(gaps - gaps.max()).sum(axis=1)
    exact = exact / exact.sum()

    def ours() -> np.ndarray:
        belief = sx.grid(sx.Normal, loc=loc, scale=scale).update(x)
        return np.asarray(belief.marginal("loc").probabilities())

    on_device = [jnp.asarray(v, jnp.float32) for v in (x, loc, scale)]
    theirs = {
        "NumPy, raw moments": Entrant(partial(by_hand, x, loc, scale), compilation={}),
        "JAX, row by row": Entrant(
            lambda: jax.block_until_ready(row_by_row(*on_device)), lambda p: np.asarray(p), compilation={}
        ),
    }

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        # trapezoids weigh the ends by half, where there is next to nothing
        return {name: float(np.max(np.abs(told - exact)) / exact.max()) for name, told in answers.items()}

    return Contest(
        rows=rows,
        dtype="float64",
        entrants={"surprax": Entrant(ours, compilation={}), **{name: theirs[name] for name in peers}},
        judge=judge,
        tolerance=1e-4 if not setting.quick else 1e-2,
        peer_tolerance=1.0,
    )


CASES = [
    Case(
        f"beliefs/absorb-{size}",
        f"{title} hypotheses absorb evidence in place",
        partial(absorb, rows),
        (Target(1.3, "NumPy, in place"),),
    )
    for size, title, rows in (("1e7", "ten million", 10_000_000), ("1e8", "a hundred million", 100_000_000))
]
CASES += [
    Case(
        "beliefs/grid-1e5",
        "a grid of 100,000 nodes meets a million rows",
        partial(on_grid, 1_000_000, (400, 250), ("NumPy, raw moments",)),
    ),
    Case(
        "beliefs/grid-rows",
        "a grid of 2,500 nodes meets 100,000 rows",
        partial(on_grid, 100_000, (50, 50), ("JAX, row by row", "NumPy, raw moments")),
        (Target(0.05, "JAX, row by row"),),
    ),
]
