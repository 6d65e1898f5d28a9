"""Finite beliefs: evidence absorbed in place by ten and a hundred million hypotheses, against the cost of reading and writing.

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


CASES = [
    Case(
        f"beliefs/absorb-{size}",
        f"{title} hypotheses absorb evidence in place",
        partial(absorb, rows),
        (Target(1.3, "NumPy, in place"),),
    )
    for size, title, rows in (("1e7", "ten million", 10_000_000), ("1e8", "a hundred million", 100_000_000))
]
